// A service account without keys, and who may act as it.
//
// A key never expires and works for whoever holds it. People, pods and
// pipelines elsewhere act as the account by tokens that last an hour instead.
package main

import (
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// longest is Google's limit for a description, in bytes.
const longest = 256

var (
	kubernetesAccount = component.NewFormat(`[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}`, "a namespace and an account such as shop/web")
	// principal excludes principalSet://…/*, which is everyone who can sign in
	// to the pool: of GitHub's, that is everyone on GitHub.
	principal = component.NewFormat(`(principal://iam\.googleapis\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+/subject/`+
		`|principalSet://iam\.googleapis\.com/projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+/(group|attribute\.\w+)/)[^\s*]+`,
		"a principal:// or principalSet:// of one subject, group or attribute of a workload identity pool")

	// takeovers are roles by which an account of a project gets the rights of
	// all others.
	takeovers = []string{
		"roles/iam.securityAdmin",
		"roles/iam.serviceAccountAdmin",
		"roles/iam.serviceAccountKeyAdmin",
		"roles/iam.serviceAccountTokenCreator",
		"roles/iam.serviceAccountUser",
		"roles/iam.workloadIdentityUser",
		"roles/resourcemanager.projectIamAdmin",
	}
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name          = config.Text("name", "the part of its address before the @", config.DefaultName(), formats.ID)
		roles         = config.List("roles", "what it may do in the project; roles by which it could take over other accounts are refused", formats.Role)
		impersonators = config.List("impersonators", "members that may act as it", formats.Member)
		pods          = config.List("kubernetesAccounts", "Kubernetes service accounts of the project's GKE clusters whose pods act as it", kubernetesAccount)
		principals    = config.List("federatedPrincipals", "who from other clouds and pipelines acts as it", principal)
		labels        = config.Labels()
	)
	for _, role := range roles {
		if slices.Contains(takeovers, role) {
			config.Reject("roles", "%s in the whole project would make it as mighty as any of its accounts", role)
		}
	}
	description := labels.Words()
	if len(description) > longest {
		config.Reject("labels", "are too long for a description, which takes %d characters, not %d", longest, len(description))
	}
	if err := config.Err(); err != nil {
		return err
	}

	account, err := serviceaccount.NewAccount(ctx, name, &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(name),
		DisplayName: pulumi.String(name),
		// Service accounts have no labels.
		Description: pulumi.String(description),
	})
	if err != nil {
		return err
	}
	for _, role := range roles {
		if _, err := projects.NewIAMMember(ctx, name+"-"+role, &projects.IAMMemberArgs{
			Project: account.Project,
			Role:    pulumi.String(role),
			Member:  account.Member,
		}); err != nil {
			return err
		}
	}
	if err := letAct(ctx, name, account, impersonators, pods, principals); err != nil {
		return err
	}

	ctx.Export("email", account.Email)
	ctx.Export("member", account.Member)
	ctx.Export("uniqueId", account.UniqueId)
	return nil
}

// letAct lets members, pods and federated principals get tokens of this
// account, and of no other.
func letAct(ctx *pulumi.Context, name string, account *serviceaccount.Account, impersonators, pods, principals []string) error {
	grant := func(who, role string, member pulumi.StringInput) error {
		_, err := serviceaccount.NewIAMMember(ctx, name+"-"+who, &serviceaccount.IAMMemberArgs{
			ServiceAccountId: account.Name,
			Role:             pulumi.String(role),
			Member:           member,
		})
		return err
	}
	for _, member := range impersonators {
		if err := grant(member, "roles/iam.serviceAccountTokenCreator", pulumi.String(member)); err != nil {
			return err
		}
	}
	for _, pod := range pods {
		member := pulumi.Sprintf("serviceAccount:%s.svc.id.goog[%s]", account.Project, pod)
		if err := grant(pod, "roles/iam.workloadIdentityUser", member); err != nil {
			return err
		}
	}
	for _, member := range principals {
		if err := grant(member, "roles/iam.workloadIdentityUser", pulumi.String(member)); err != nil {
			return err
		}
	}
	return nil
}
