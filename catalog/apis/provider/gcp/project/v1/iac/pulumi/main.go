// A project that starts closed.
//
// A new project comes with a network that is open to SSH from everywhere, and
// with accounts that may change everything in it. Neither is left here.
package main

import (
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/billing"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/organizations"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/resourcemanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	parentID       = component.NewFormat(`(folders|organizations)/[0-9]+`, "a folder or organization such as folders/123456789012")
	billingAccount = component.NewFormat(`[0-9A-F]{6}(-[0-9A-F]{6}){2}`, "a billing account such as 012345-6789AB-CDEF01")
	api            = component.NewFormat(`[a-z0-9-]+\.googleapis\.com`, "an API such as run.googleapis.com")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name    = config.Text("projectId", "its ID, which is taken for good, also after the project is gone", config.DefaultName(), formats.ID)
		parent  = config.Text("parent", "what it belongs to", "", parentID)
		account = config.Text("billingAccount", "who pays", "", billingAccount)
		apis    = config.List("apis", "APIs to enable", api)
		budget  = config.Int("monthlyBudget", "amount, in the currency of the billing account, about whose use its administrators get mails; 0 for none", 0, 0, 100_000_000)
		audit   = config.Bool("dataAccessLogs", "log who reads and writes data, too; Google charges for the logs", false)
		protect = config.Bool("deletionProtection", "refuse to delete the project, here and in the console", true)
		labels  = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	project, err := newProject(ctx, name, parent, account, protect, labels)
	if err != nil {
		return err
	}
	enabled, err := enable(ctx, project, apis)
	if err != nil {
		return err
	}
	// The accounts exist once their APIs are enabled.
	if _, err := projects.NewDefaultServiceAccounts(ctx, name, &projects.DefaultServiceAccountsArgs{
		Project: project.ProjectId,
		Action:  pulumi.String("DEPRIVILEGE"),
	}, pulumi.DependsOn(enabled)); err != nil {
		return err
	}
	if audit {
		if err := logDataAccess(ctx, name, project); err != nil {
			return err
		}
	}
	if budget > 0 {
		if err := watch(ctx, name, project, account, budget); err != nil {
			return err
		}
	}

	ctx.Export("projectId", project.ProjectId)
	ctx.Export("number", project.Number)
	return nil
}

// newProject makes the project and, if it is to be protected, a lien, which
// holds against everyone and not only against Pulumi.
func newProject(ctx *pulumi.Context, name, parent, account string, protect bool, labels component.Labels) (*organizations.Project, error) {
	args := &organizations.ProjectArgs{
		ProjectId:         pulumi.String(name),
		Name:              pulumi.String(name),
		BillingAccount:    pulumi.String(account),
		AutoCreateNetwork: pulumi.Bool(false),
		DeletionPolicy:    pulumi.String("DELETE"),
		Labels:            labels.Map(),
	}
	if folder, is := strings.CutPrefix(parent, "folders/"); is {
		args.FolderId = pulumi.String(folder)
	} else {
		args.OrgId = pulumi.String(strings.TrimPrefix(parent, "organizations/"))
	}
	if protect {
		args.DeletionPolicy = pulumi.String("PREVENT")
	}
	project, err := organizations.NewProject(ctx, name, args)
	if err != nil || !protect {
		return project, err
	}
	_, err = resourcemanager.NewLien(ctx, name, &resourcemanager.LienArgs{
		Parent:       pulumi.Sprintf("projects/%s", project.Number),
		Origin:       pulumi.String("pulumi"),
		Reason:       pulumi.String("deletionProtection is set in " + ctx.Project() + "/" + ctx.Stack()),
		Restrictions: pulumi.ToStringArray([]string{"resourcemanager.projects.delete"}),
	})
	return project, err
}

func enable(ctx *pulumi.Context, project *organizations.Project, apis []string) (enabled []pulumi.Resource, err error) {
	for _, api := range apis {
		service, err := projects.NewService(ctx, api, &projects.ServiceArgs{
			Project:          project.ProjectId,
			Service:          pulumi.String(api),
			DisableOnDestroy: pulumi.Bool(false),
		})
		if err != nil {
			return nil, err
		}
		enabled = append(enabled, service)
	}
	return enabled, nil
}

func logDataAccess(ctx *pulumi.Context, name string, project *organizations.Project) error {
	var kinds projects.IAMAuditConfigAuditLogConfigArray
	for _, kind := range []string{"ADMIN_READ", "DATA_READ", "DATA_WRITE"} {
		kinds = append(kinds, projects.IAMAuditConfigAuditLogConfigArgs{LogType: pulumi.String(kind)})
	}
	_, err := projects.NewIAMAuditConfig(ctx, name, &projects.IAMAuditConfigArgs{
		Project:         project.ProjectId,
		Service:         pulumi.String("allServices"),
		AuditLogConfigs: kinds,
	})
	return err
}

// watch sends mails when half, most and all of the budget is spent, and before
// that when all of it is going to be.
func watch(ctx *pulumi.Context, name string, project *organizations.Project, account string, budget int) error {
	rule := func(share float64, basis string) billing.BudgetThresholdRuleArgs {
		return billing.BudgetThresholdRuleArgs{ThresholdPercent: pulumi.Float64(share), SpendBasis: pulumi.String(basis)}
	}
	_, err := billing.NewBudget(ctx, name, &billing.BudgetArgs{
		BillingAccount: pulumi.String(account),
		DisplayName:    pulumi.String(name),
		Amount: billing.BudgetAmountArgs{
			SpecifiedAmount: billing.BudgetAmountSpecifiedAmountArgs{Units: pulumi.String(strconv.Itoa(budget))},
		},
		BudgetFilter: billing.BudgetBudgetFilterArgs{
			Projects:       pulumi.StringArray{pulumi.Sprintf("projects/%s", project.Number)},
			CalendarPeriod: pulumi.String("MONTH"),
		},
		ThresholdRules: billing.BudgetThresholdRuleArray{
			rule(0.5, "CURRENT_SPEND"),
			rule(0.9, "CURRENT_SPEND"),
			rule(1, "CURRENT_SPEND"),
			rule(1, "FORECASTED_SPEND"),
		},
	})
	return err
}
