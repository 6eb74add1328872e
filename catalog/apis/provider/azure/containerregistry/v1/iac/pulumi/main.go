// A container registry without passwords and public access, with replicas.
//
// It is of the Premium tier: the others are open to every network.
package main

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/containerregistry/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "start of the registry's name; a random suffix follows, as registry names are shared by all customers", azure.DefaultShortName(config), azure.ShortName)
		where    = config.Text("location", "region", "westeurope", azure.Location)
		replicas = config.List("replicas", "more regions that hold all images", azure.Location)
		networks = config.CIDRs("networks", "networks that may reach it; without any, private endpoints alone")
		keep     = config.Int("untaggedDays", "how long a manifest without a tag is kept", 30, 0, 365)
		zones    = config.Bool("zones", "spread each region's copy over its availability zones", true)
		labels   = config.Labels()
	)
	if slices.Contains(replicas, where) {
		config.Reject("replicas", "%s has the registry itself", where)
	}
	if err := config.Err(); err != nil {
		return err
	}

	group, err := azure.NewResourceGroup(ctx, name, where, labels)
	if err != nil {
		return err
	}
	registry, err := containerregistry.NewRegistry(ctx, name, &containerregistry.RegistryArgs{
		ResourceGroupName:    group.Name,
		Location:             group.Location,
		Sku:                  containerregistry.SkuArgs{Name: pulumi.String(containerregistry.SkuNamePremium)},
		AdminUserEnabled:     pulumi.Bool(false),
		AnonymousPullEnabled: pulumi.Bool(false),
		// Layers come from the registry's own domain names, so that a firewall
		// need not open to all storage accounts.
		DataEndpointEnabled:      pulumi.Bool(true),
		PublicNetworkAccess:      azure.PublicNetworkAccess(networks),
		NetworkRuleSet:           allowOnly(networks),
		NetworkRuleBypassOptions: pulumi.String(containerregistry.NetworkRuleBypassOptionsAzureServices),
		Policies:                 policies(networks, keep),
		ZoneRedundancy:           redundancy(zones),
		Tags:                     labels.Map(),
	})
	if err != nil {
		return err
	}
	for _, replica := range replicas {
		if _, err := containerregistry.NewReplication(ctx, replica, &containerregistry.ReplicationArgs{
			ResourceGroupName: group.Name,
			RegistryName:      registry.Name,
			ReplicationName:   pulumi.String(replica),
			Location:          pulumi.String(replica),
			ZoneRedundancy:    redundancy(zones),
			Tags:              labels.Map(),
		}); err != nil {
			return err
		}
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("registry", registry.Name)
	ctx.Export("loginServer", registry.LoginServer)
	return nil
}

func allowOnly(networks []string) containerregistry.NetworkRuleSetArgs {
	rules := containerregistry.IPRuleArray{}
	for _, network := range networks {
		rules = append(rules, containerregistry.IPRuleArgs{
			Action: pulumi.String(containerregistry.ActionAllow),
			// Azure returns a single address without its prefix length.
			IPAddressOrRange: pulumi.String(strings.TrimSuffix(network, "/32")),
		})
	}
	return containerregistry.NetworkRuleSetArgs{
		DefaultAction: pulumi.String(containerregistry.DefaultActionDeny),
		IpRules:       rules,
	}
}

// policies remove what no tag leads to. Where nobody can reach the registry,
// nobody can have Azure copy its images elsewhere either; where somebody can,
// Azure does not take that prohibition.
func policies(networks []string, keepDays int) containerregistry.PoliciesArgs {
	export := containerregistry.ExportPolicyStatusDisabled
	if len(networks) > 0 {
		export = containerregistry.ExportPolicyStatusEnabled
	}
	return containerregistry.PoliciesArgs{
		ExportPolicy: containerregistry.ExportPolicyArgs{Status: pulumi.String(export)},
		RetentionPolicy: containerregistry.RetentionPolicyArgs{
			Status: pulumi.String(containerregistry.PolicyStatusEnabled),
			Days:   pulumi.Int(keepDays),
		},
	}
}

func redundancy(zones bool) pulumi.String {
	if zones {
		return pulumi.String(containerregistry.ZoneRedundancyEnabled)
	}
	return pulumi.String(containerregistry.ZoneRedundancyDisabled)
}
