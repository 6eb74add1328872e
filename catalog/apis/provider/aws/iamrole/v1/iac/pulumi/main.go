// An IAM role for services, roles and programs that are named.
//
// Nobody is let in by default, and a token of an OpenID Connect provider only
// for named subjects: without that condition, every customer of GitHub could
// assume a role meant for one repository.
package main

import (
	"path"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	provider = component.NewFormat(`|arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/\S+`, "the ARN of an OpenID Connect provider")
	// subject has no wildcard in its first two parts, which say whose token it is.
	subject    = component.NewFormat(`[^\s*?:]+:[^\s*?:]+(:\S+)?`, "a subject such as repo:shop/api:ref:refs/heads/main")
	audience   = component.NewFormat(`[^\s*?]+`, "an audience without wildcards")
	externalID = component.NewFormat(`|[A-Za-z0-9+=,.@:/_-]{2,1000}`, "2 to 1000 letters, digits and +=,.@:/_-")
	action     = component.NewFormat(`[a-z0-9-]+:[A-Z][A-Za-z0-9]*\*?`, "an action such as s3:GetObject or s3:List*")
	resource   = component.NewFormat(`arn:aws[a-z-]*:[a-z0-9-]+:\S+`, "an ARN such as arn:aws:s3:::shop/*")
)

// settings is one validated configuration.
type settings struct {
	name, boundary                                               string
	services, principals, subjects, policies, actions, resources []string
	externalID, provider, audience                               string
	hours                                                        int
	labels                                                       component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:       config.Text("name", "the role's name", config.DefaultName(), component.DNSLabel),
		services:   config.List("services", "services that may assume the role, such as `ec2.amazonaws.com`", formats.Service),
		principals: config.List("principals", "roles, users and accounts that may assume the role", formats.Principal),
		externalID: config.Text("externalId", "what `principals` must say, if they act for several customers", "", externalID),
		provider:   config.Text("oidcProvider", "whose tokens let in, such as GitHub's or a cluster's", "", provider),
		subjects:   config.List("oidcSubjects", "who must hold the token; `*` stands for anything, after the second part", subject),
		audience:   config.Text("oidcAudience", "whom the token must be made out to", "sts.amazonaws.com", audience),
		policies:   config.List("policies", "managed policies to attach", formats.Policy),
		actions:    config.List("actions", "more that is allowed, on `resources`", action),
		resources:  config.List("resources", "what `actions` are allowed on", resource),
		boundary:   config.Text("permissionsBoundary", "a managed policy that says the most the role may do", "", formats.Policy.OrUnset()),
		hours:      config.Int("sessionHours", "how long a session may last", 1, 1, 12),
		labels:     config.Labels(),
	}
	if len(s.services)+len(s.principals) == 0 && s.provider == "" {
		config.Reject("services", "is not set, nor is principals or oidcProvider: nobody could assume the role")
	}
	if (s.provider == "") != (len(s.subjects) == 0) {
		config.Reject("oidcSubjects", "must be set together with oidcProvider")
	}
	if s.externalID != "" && len(s.principals) == 0 {
		config.Reject("externalId", "is for principals, and none are set")
	}
	if (len(s.actions) == 0) != (len(s.resources) == 0) {
		config.Reject("resources", "must be set together with actions")
	}
	if s.boundary == "" && slices.ContainsFunc(s.policies, func(policy string) bool { return path.Base(policy) == "AdministratorAccess" }) {
		config.Reject("policies", "allow everything with AdministratorAccess; set permissionsBoundary as well, or name what the role needs")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	role, err := iam.NewRole(ctx, s.name, &iam.RoleArgs{
		Name:                pulumi.String(s.name),
		AssumeRolePolicy:    iampolicy.Document(s.trust()...),
		PermissionsBoundary: component.Optional(s.boundary),
		MaxSessionDuration:  pulumi.Int(s.hours * 60 * 60),
		Tags:                s.labels.Map(),
	})
	if err != nil {
		return err
	}
	for _, policy := range s.policies {
		if _, err := iam.NewRolePolicyAttachment(ctx, s.name+"-"+path.Base(policy), &iam.RolePolicyAttachmentArgs{
			Role:      role.Name,
			PolicyArn: pulumi.String(policy),
		}); err != nil {
			return err
		}
	}
	if len(s.actions) > 0 {
		if _, err := iam.NewRolePolicy(ctx, s.name, &iam.RolePolicyArgs{
			Role:   role.Name,
			Policy: iampolicy.Document(iampolicy.Statement{Effect: "Allow", Action: s.actions, Resource: s.resources}),
		}); err != nil {
			return err
		}
	}
	// EC2 hands a role to an instance in a profile only.
	if slices.Contains(s.services, "ec2.amazonaws.com") {
		profile, err := iam.NewInstanceProfile(ctx, s.name, &iam.InstanceProfileArgs{
			Name: pulumi.String(s.name),
			Role: role.Name,
			Tags: s.labels.Map(),
		})
		if err != nil {
			return err
		}
		ctx.Export("instanceProfile", profile.Name)
	}

	ctx.Export("role", role.Name)
	ctx.Export("arn", role.Arn)
	return nil
}

// trust says who may assume the role.
func (s settings) trust() []iampolicy.Statement {
	var statements []iampolicy.Statement
	allow := func(action string, principal, condition iampolicy.Map) {
		statements = append(statements, iampolicy.Statement{
			Effect: "Allow", Principal: principal, Action: []string{action}, Condition: condition,
		})
	}
	if len(s.services) > 0 {
		allow("sts:AssumeRole", iampolicy.Map{"Service": s.services}, nil)
	}
	if len(s.principals) > 0 {
		var condition iampolicy.Map
		if s.externalID != "" {
			condition = iampolicy.Map{"StringEquals": iampolicy.Map{"sts:ExternalId": s.externalID}}
		}
		allow("sts:AssumeRole", iampolicy.Map{"AWS": s.principals}, condition)
	}
	if s.provider != "" {
		_, issuer, _ := strings.Cut(s.provider, ":oidc-provider/")
		allow("sts:AssumeRoleWithWebIdentity", iampolicy.Map{"Federated": s.provider}, iampolicy.Map{
			"StringEquals": iampolicy.Map{issuer + ":aud": s.audience},
			"StringLike":   iampolicy.Map{issuer + ":sub": s.subjects},
		})
	}
	return statements
}
