// A Snowflake warehouse with a credit limit.
//
// A warehouse costs money while it runs: it starts suspended, suspends itself
// when idle, and a resource monitor stops it when the month's credits are spent.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-snowflake/sdk/v2/go/snowflake"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var identifier = component.NewFormat(`[A-Z_][A-Z0-9_]{0,254}`, "an identifier of upper-case letters, digits and underscores")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name        = config.Text("name", "name of the warehouse and its resource monitor", defaultName(config), identifier)
		size        = config.OneOf("size", "its size", "XSMALL", "SMALL", "MEDIUM", "LARGE", "XLARGE", "XXLARGE")
		clusters    = config.Int("maxClusters", "up to how many clusters it grows; more than one needs the Enterprise edition", 1, 1, 10)
		suspend     = config.Int("autoSuspendSeconds", "idle time after which it suspends", 60, 60, 86400)
		timeout     = config.Int("statementTimeoutSeconds", "how long a statement may wait, and then run", 3600, 1, 604800)
		credits     = config.Int("monthlyCredits", "credits it may use in a month", 10, 1, 100000)
		notifyUsers = config.List("notifyUsers", "users to tell when 80 % are spent", identifier)
		roles       = config.List("roles", "account roles that may use it", identifier)
		labels      = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	monitor, err := snowflake.NewResourceMonitor(ctx, name, &snowflake.ResourceMonitorArgs{
		Name:        pulumi.String(name),
		CreditQuota: pulumi.Int(credits),
		Frequency:   pulumi.String("MONTHLY"),
		// Snowflake wants a start with a frequency.
		StartTimestamp: pulumi.String("IMMEDIATELY"),
		NotifyTriggers: pulumi.ToIntArray([]int{80}),
		NotifyUsers:    pulumi.ToStringArray(notifyUsers),
		// Queries under way may end, up to a tenth above the quota.
		SuspendTrigger:          pulumi.Int(100),
		SuspendImmediateTrigger: pulumi.Int(110),
	})
	if err != nil {
		return err
	}
	args := &snowflake.WarehouseArgs{
		Name:                            pulumi.String(name),
		Comment:                         pulumi.String(labels.Words()),
		WarehouseSize:                   pulumi.String(size),
		InitiallySuspended:              pulumi.Bool(true),
		AutoSuspend:                     pulumi.Int(suspend),
		AutoResume:                      pulumi.String("true"),
		ResourceMonitor:                 monitor.Name,
		StatementTimeoutInSeconds:       pulumi.Int(timeout),
		StatementQueuedTimeoutInSeconds: pulumi.Int(timeout),
	}
	// The Standard edition refuses the mere mention of clusters.
	if clusters > 1 {
		args.MinClusterCount = pulumi.Int(1)
		args.MaxClusterCount = pulumi.Int(clusters)
	}
	warehouse, err := snowflake.NewWarehouse(ctx, name, args)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if _, err := snowflake.NewGrantPrivilegesToAccountRole(ctx, name+"-"+role, &snowflake.GrantPrivilegesToAccountRoleArgs{
			AccountRoleName: pulumi.String(role),
			Privileges:      pulumi.ToStringArray([]string{"USAGE"}),
			OnAccountObject: snowflake.GrantPrivilegesToAccountRoleOnAccountObjectArgs{
				ObjectType: pulumi.String("WAREHOUSE"),
				ObjectName: warehouse.Name,
			},
		}); err != nil {
			return err
		}
	}

	ctx.Export("warehouse", warehouse.Name)
	ctx.Export("resourceMonitor", monitor.Name)
	return nil
}

// defaultName is written as Snowflake stores names that are not quoted.
func defaultName(config *component.Config) string {
	return strings.ToUpper(strings.ReplaceAll(config.DefaultName(), "-", "_"))
}
