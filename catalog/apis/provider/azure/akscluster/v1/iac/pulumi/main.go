// An AKS cluster whose API is closed, without local accounts.
//
// Everyone signs in with Entra ID and may do what a role in Azure allows: the
// cluster's own admin certificate, which nobody can revoke, is switched off.
package main

import (
	"github.com/pulumi/pulumi-azure-native-sdk/containerservice/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/managedidentity/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/resources/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	// clusterName is part of the API's domain name, which leaves 54 characters.
	clusterName = component.NewFormat(`[a-z]([a-z0-9-]{0,52}[a-z0-9])?`,
		"1 to 54 lowercase letters, digits and hyphens, starting with a letter, as a random suffix follows")
	// minorVersion has no patch: AKS takes the newest and keeps it up to date.
	minorVersion = component.NewFormat(`|1\.[0-9]+`, "a minor version such as 1.33")
	vmSize       = component.NewFormat(`Standard_[A-Z]+[0-9]+[a-z]*(_v[0-9]+)?`, "a VM size such as Standard_D4ds_v5")
)

// settings is one validated configuration.
type settings struct {
	name, location, subnet, version, tier, upgrades, day, size string
	nodes, most                                                int
	zones, encrypt                                             bool
	apiNetworks, admins                                        []string
	labels                                                     component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "start of the cluster's name", config.DefaultName(), clusterName),
		location:    config.Text("location", "region, that of the subnet", "westeurope", azure.Location),
		subnet:      config.Text("subnetId", "the subnet of the nodes", "", azure.ID("Microsoft.Network/virtualNetworks/subnets")),
		apiNetworks: config.CIDRs("apiNetworks", "networks that reach the Kubernetes API; without any, it is private"),
		admins:      config.List("adminGroups", "Entra ID groups of the cluster's administrators, by object ID", azure.GUID),
		tier:        config.OneOf("tier", "`Standard` has a guaranteed uptime", "Standard", "Free"),
		version:     config.Text("kubernetesVersion", "minor version; AKS chooses the patch", "", minorVersion),
		upgrades:    config.OneOf("upgrades", "which upgrades come by themselves", "patch", "stable", "rapid", "none"),
		day:         config.OneOf("maintenanceDay", "when upgrades come, from 2 to 6 in the morning, UTC", "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
		size:        config.Text("nodeSize", "VM size of each node", "Standard_D4ds_v5", vmSize),
		nodes:       config.Int("minNodes", "number of nodes for your pods, at least", 2, 1, 1000),
		most:        config.Int("maxNodes", "up to how many nodes there may be", 5, 1, 1000),
		zones:       config.Bool("zones", "spread the nodes over three availability zones", true),
		encrypt:     config.Bool("hostEncryption", "encrypt the nodes' temporary disks and caches, too", true),
		labels:      config.Labels(),
	}
	if s.most < s.nodes {
		config.Reject("maxNodes", "must be at least minNodes, %d, not %d", s.nodes, s.most)
	}
	if s.version != "" && (s.upgrades == "stable" || s.upgrades == "rapid") {
		config.Reject("kubernetesVersion", "cannot be set where %s upgrades move the cluster past it", s.upgrades)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	group, err := azure.NewResourceGroup(ctx, s.name, s.location, s.labels)
	if err != nil {
		return err
	}
	// Unlike the cluster's own identity, it can be given roles beforehand and
	// outlives a replacement of the cluster.
	identity, err := managedidentity.NewUserAssignedIdentity(ctx, s.name, &managedidentity.UserAssignedIdentityArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		Tags:              s.labels.Map(),
	})
	if err != nil {
		return err
	}
	cluster, err := newCluster(ctx, s, group, identity)
	if err != nil {
		return err
	}
	if err := addNodes(ctx, s, group, cluster); err != nil {
		return err
	}
	if err := schedule(ctx, s, group, cluster); err != nil {
		return err
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("cluster", cluster.Name)
	ctx.Export("oidcIssuer", cluster.OidcIssuerProfile.IssuerURL())
	ctx.Export("identityPrincipalId", identity.PrincipalId)
	return nil
}

func newCluster(ctx *pulumi.Context, s settings, group *resources.ResourceGroup, identity *managedidentity.UserAssignedIdentity) (*containerservice.ManagedCluster, error) {
	return containerservice.NewManagedCluster(ctx, s.name, &containerservice.ManagedClusterArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		DnsPrefix:         pulumi.String(s.name),
		KubernetesVersion: component.Optional(s.version),
		Sku: containerservice.ManagedClusterSKUArgs{
			Name: pulumi.String(containerservice.ManagedClusterSKUNameBase),
			Tier: pulumi.String(s.tier),
		},
		Identity: containerservice.ManagedClusterIdentityArgs{
			Type:                   containerservice.ResourceIdentityTypeUserAssigned,
			UserAssignedIdentities: pulumi.StringArray{identity.ID()},
		},
		EnableRBAC:           pulumi.Bool(true),
		DisableLocalAccounts: pulumi.Bool(true),
		AadProfile: containerservice.ManagedClusterAADProfileArgs{
			Managed:             pulumi.Bool(true),
			EnableAzureRBAC:     pulumi.Bool(true),
			AdminGroupObjectIDs: pulumi.ToStringArray(s.admins),
		},
		ApiServerAccessProfile: containerservice.ManagedClusterAPIServerAccessProfileArgs{
			EnablePrivateCluster: pulumi.Bool(len(s.apiNetworks) == 0),
			AuthorizedIPRanges:   pulumi.ToStringArray(s.apiNetworks),
		},
		AgentPoolProfiles: containerservice.ManagedClusterAgentPoolProfileArray{systemPool(s)},
		NetworkProfile: containerservice.ContainerServiceNetworkProfileArgs{
			NetworkPlugin:     pulumi.String(containerservice.NetworkPluginAzure),
			NetworkPluginMode: pulumi.String(containerservice.NetworkPluginModeOverlay),
			NetworkDataplane:  pulumi.String(containerservice.NetworkDataplaneCilium),
			NetworkPolicy:     pulumi.String(containerservice.NetworkPolicyCilium),
			LoadBalancerSku:   pulumi.String(containerservice.LoadBalancerSkuStandard),
			// By default services are in 10.0.0.0/16, as many virtual networks are.
			ServiceCidr:  pulumi.String("172.16.0.0/16"),
			DnsServiceIP: pulumi.String("172.16.0.10"),
		},
		AutoUpgradeProfile: containerservice.ManagedClusterAutoUpgradeProfileArgs{
			UpgradeChannel:       pulumi.String(s.upgrades),
			NodeOSUpgradeChannel: pulumi.String(containerservice.NodeOSUpgradeChannelNodeImage),
		},
		OidcIssuerProfile: containerservice.ManagedClusterOIDCIssuerProfileArgs{Enabled: pulumi.Bool(true)},
		SecurityProfile: containerservice.ManagedClusterSecurityProfileArgs{
			WorkloadIdentity: containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs{Enabled: pulumi.Bool(true)},
			ImageCleaner: containerservice.ManagedClusterSecurityProfileImageCleanerArgs{
				Enabled:       pulumi.Bool(true),
				IntervalHours: pulumi.Int(7 * 24),
			},
		},
		Tags: s.labels.Map(),
	})
}

// systemPool is for what the cluster itself needs, so that no pod of yours can
// starve it.
func systemPool(s settings) containerservice.ManagedClusterAgentPoolProfileArgs {
	return containerservice.ManagedClusterAgentPoolProfileArgs{
		Name:                   pulumi.String("system"),
		Mode:                   pulumi.String(containerservice.AgentPoolModeSystem),
		NodeTaints:             pulumi.ToStringArray([]string{"CriticalAddonsOnly=true:NoSchedule"}),
		Count:                  pulumi.Int(2),
		VmSize:                 pulumi.String(s.size),
		OsSKU:                  pulumi.String(containerservice.OSSKUAzureLinux),
		VnetSubnetID:           pulumi.String(s.subnet),
		AvailabilityZones:      zones(s),
		EnableEncryptionAtHost: pulumi.Bool(s.encrypt),
		EnableNodePublicIP:     pulumi.Bool(false),
	}
}

func addNodes(ctx *pulumi.Context, s settings, group *resources.ResourceGroup, cluster *containerservice.ManagedCluster) error {
	_, err := containerservice.NewAgentPool(ctx, s.name, &containerservice.AgentPoolArgs{
		ResourceGroupName:      group.Name,
		ResourceName:           cluster.Name,
		AgentPoolName:          pulumi.String("apps"),
		Mode:                   pulumi.String(containerservice.AgentPoolModeUser),
		Count:                  pulumi.Int(s.nodes),
		EnableAutoScaling:      pulumi.Bool(true),
		MinCount:               pulumi.Int(s.nodes),
		MaxCount:               pulumi.Int(s.most),
		VmSize:                 pulumi.String(s.size),
		OsSKU:                  pulumi.String(containerservice.OSSKUAzureLinux),
		VnetSubnetID:           pulumi.String(s.subnet),
		AvailabilityZones:      zones(s),
		EnableEncryptionAtHost: pulumi.Bool(s.encrypt),
		EnableNodePublicIP:     pulumi.Bool(false),
		UpgradeSettings:        containerservice.AgentPoolUpgradeSettingsArgs{MaxSurge: pulumi.String("33%")},
		Tags:                   s.labels.Map(),
	}, pulumi.IgnoreChanges([]string{"count"})) // is the autoscaler's
	return err
}

func zones(s settings) pulumi.StringArrayInput {
	if !s.zones {
		return nil
	}
	return pulumi.ToStringArray([]string{"1", "2", "3"})
}

// schedule lets upgrades of Kubernetes and of the nodes' images come at night
// only; 4 hours are the shortest time that AKS takes.
func schedule(ctx *pulumi.Context, s settings, group *resources.ResourceGroup, cluster *containerservice.ManagedCluster) error {
	for _, what := range []string{"aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"} {
		if _, err := containerservice.NewMaintenanceConfiguration(ctx, what, &containerservice.MaintenanceConfigurationArgs{
			ResourceGroupName: group.Name,
			ResourceName:      cluster.Name,
			ConfigName:        pulumi.String(what),
			MaintenanceWindow: containerservice.MaintenanceWindowArgs{
				StartTime:     pulumi.String("02:00"),
				DurationHours: pulumi.Int(4),
				Schedule: containerservice.ScheduleArgs{Weekly: containerservice.WeeklyScheduleArgs{
					DayOfWeek:     pulumi.String(s.day),
					IntervalWeeks: pulumi.Int(1),
				}},
			},
		}); err != nil {
			return err
		}
	}
	return nil
}
