// An IAM user for a program that cannot assume a role.
//
// A user has no password, and permissions by its groups only. Its access key
// never expires, so that it is good for nothing outside the named networks.
package main

import (
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
	group    = component.NewFormat(`[A-Za-z0-9+=,.@_-]{1,128}`, "the name of a group")
	userPath = component.NewFormat(`/([!-.0-~]+/)*`, "a path that starts and ends with /")
	pgpKey   = component.NewFormat(`|keybase:[a-z0-9_]+|[A-Za-z0-9+/]{64,}={0,2}`, "a public PGP key in Base64, or keybase:NAME")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "the user's name", config.DefaultName(), component.DNSLabel)
		path     = config.Text("path", "where the user is filed", "/", userPath)
		groups   = config.List("groups", "existing groups that say what the user may do", group)
		boundary = config.Text("permissionsBoundary", "a managed policy that says the most the user may do", "", formats.Policy.OrUnset())
		networks = config.CIDRs("networks", "networks that the user may call from; without any, from everywhere")
		withKey  = config.Bool("accessKey", "create an access key; needs `networks`", false)
		pgp      = config.Text("pgpKey", "whom to encrypt the access key for; without it, it is a secret in the state", "", pgpKey)
		labels   = config.Labels()
	)
	if withKey && len(networks) == 0 {
		config.Reject("networks", "is not set; an access key must not work from everywhere")
	}
	if pgp != "" && !withKey {
		config.Reject("pgpKey", "is for an access key, and accessKey is false")
	}
	if err := config.Err(); err != nil {
		return err
	}

	user, err := iam.NewUser(ctx, name, &iam.UserArgs{
		Name:                pulumi.String(name),
		Path:                pulumi.String(path),
		PermissionsBoundary: component.Optional(boundary),
		Tags:                labels.Map(),
	})
	if err != nil {
		return err
	}
	if len(groups) > 0 {
		if _, err := iam.NewUserGroupMembership(ctx, name, &iam.UserGroupMembershipArgs{
			User:   user.Name,
			Groups: pulumi.ToStringArray(groups),
		}); err != nil {
			return err
		}
	}
	var bound []pulumi.Resource
	if len(networks) > 0 {
		policy, err := stayWithin(ctx, name, user, networks)
		if err != nil {
			return err
		}
		bound = append(bound, policy)
	}
	if withKey {
		// The key must not exist, even for a moment, without its bounds.
		if err := createKey(ctx, name, user, pgp, pulumi.DependsOn(bound)); err != nil {
			return err
		}
	}

	ctx.Export("user", user.Name)
	ctx.Export("arn", user.Arn)
	return nil
}

// stayWithin denies everything from elsewhere, except what services of AWS do
// on the user's behalf.
func stayWithin(ctx *pulumi.Context, name string, user *iam.User, networks []string) (pulumi.Resource, error) {
	return iam.NewUserPolicy(ctx, name, &iam.UserPolicyArgs{
		Name: pulumi.String("networks"),
		User: user.Name,
		Policy: iampolicy.Document(iampolicy.Statement{
			Effect:   "Deny",
			Action:   []string{"*"},
			Resource: "*",
			Condition: iampolicy.Map{
				"NotIpAddress": iampolicy.Map{"aws:SourceIp": networks},
				"Bool":         iampolicy.Map{"aws:ViaAWSService": "false"},
			},
		}),
	})
}

func createKey(ctx *pulumi.Context, name string, user *iam.User, pgp string, opts ...pulumi.ResourceOption) error {
	key, err := iam.NewAccessKey(ctx, name, &iam.AccessKeyArgs{
		User:   user.Name,
		PgpKey: component.Optional(pgp),
	}, opts...)
	if err != nil {
		return err
	}
	ctx.Export("accessKeyId", key.ID())
	if pgp == "" {
		ctx.Export("secretAccessKey", pulumi.ToSecret(key.Secret))
	} else {
		ctx.Export("encryptedSecretAccessKey", key.EncryptedSecret)
	}
	return nil
}
