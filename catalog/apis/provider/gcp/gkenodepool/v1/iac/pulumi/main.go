// A pool of nodes for a GKE cluster, such as that of the component gkecluster.
//
// The nodes have no public address, boot verified images only, update
// themselves, and keep their own credentials from the pods.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	clusterID      = component.NewFormat(`projects/[^/\s]+/locations/([a-z]+-[a-z]+[0-9]+)/clusters/[^/\s]+`, "a regional cluster such as projects/P/locations/europe-west1/clusters/C")
	serviceAccount = component.NewFormat(`[^@\s]+@[^@\s]+\.gserviceaccount\.com`, "a service account's email address")
	poolName       = component.NewFormat(`[a-z]([a-z0-9-]{0,38}[a-z0-9])?`, "1 to 40 lowercase letters, digits and hyphens, starting with a letter")
	machineType    = component.NewFormat(`[a-z][a-z0-9]*(-[a-z0-9]+)+`, "a machine type such as e2-standard-4")
	taint          = component.NewFormat(`[\w./-]+=[\w.-]*:(NoSchedule|PreferNoSchedule|NoExecute)`, "a taint such as dedicated=batch:NoSchedule")

	// effects are GKE's words for those of Kubernetes.
	effects = map[string]string{"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
)

// settings is one validated configuration.
type settings struct {
	name, cluster, account, machine, diskType, key string
	zones, taints                                  []string
	fewest, most, diskGB                           int
	spot                                           bool
	labels                                         component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:     config.Text("name", "the pool's name", config.DefaultName(), poolName),
		cluster:  config.Text("cluster", "the cluster it belongs to", "", clusterID),
		zones:    config.List("zones", "zones of the nodes; without any, those of the cluster", formats.Zone),
		account:  config.Text("serviceAccount", "whom the nodes act as", "", serviceAccount),
		machine:  config.Text("machineType", "size of each node", "e2-standard-4", machineType),
		spot:     config.Bool("spot", "nodes that cost less and may be taken away at any time", false),
		fewest:   config.Int("minNodes", "fewest nodes, in all zones together", 3, 0, 1000),
		most:     config.Int("maxNodes", "most nodes, in all zones together", 6, 1, 1000),
		diskGB:   config.Int("diskGB", "size of each node's boot disk", 100, 20, 64000),
		diskType: config.OneOf("diskType", "kind of boot disk; the newer machine types take hyperdisks alone", "pd-balanced", "pd-ssd", "pd-standard", "hyperdisk-balanced"),
		key:      config.Text("kmsKey", "KMS key to encrypt boot disks with", "", formats.KMSKey.OrUnset()),
		taints:   config.List("taints", "what pods must tolerate to run here", taint),
		labels:   config.Labels(),
	}
	if s.most < s.fewest {
		config.Reject("maxNodes", "must not be less than minNodes, which is %d", s.fewest)
	}
	if region := clusterID.Pattern.FindStringSubmatch(s.cluster); region != nil {
		for _, zone := range s.zones {
			if !strings.HasPrefix(zone, region[1]+"-") {
				config.Reject("zones", "%s is not in the cluster's region, %s", zone, region[1])
			}
		}
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	pool, err := container.NewNodePool(ctx, s.name, &container.NodePoolArgs{
		Name:          pulumi.String(s.name),
		Cluster:       pulumi.String(s.cluster),
		NodeLocations: zones(s.zones),
		Autoscaling: container.NodePoolAutoscalingArgs{
			TotalMinNodeCount: pulumi.Int(s.fewest),
			TotalMaxNodeCount: pulumi.Int(s.most),
			LocationPolicy:    pulumi.String(spread(s.spot)),
		},
		Management: container.NodePoolManagementArgs{AutoRepair: pulumi.Bool(true), AutoUpgrade: pulumi.Bool(true)},
		// A new node comes before an old one goes.
		UpgradeSettings: container.NodePoolUpgradeSettingsArgs{
			Strategy:       pulumi.String("SURGE"),
			MaxSurge:       pulumi.Int(1),
			MaxUnavailable: pulumi.Int(0),
		},
		NetworkConfig: container.NodePoolNetworkConfigArgs{EnablePrivateNodes: pulumi.Bool(true)},
		NodeConfig:    node(s),
	})
	if err != nil {
		return err
	}

	ctx.Export("nodePool", pool.Name)
	ctx.Export("version", pool.Version)
	ctx.Export("instanceGroups", pool.ManagedInstanceGroupUrls)
	return nil
}

func node(s settings) container.NodePoolNodeConfigArgs {
	return container.NodePoolNodeConfigArgs{
		MachineType:    pulumi.String(s.machine),
		Spot:           pulumi.Bool(s.spot),
		ImageType:      pulumi.String("COS_CONTAINERD"),
		DiskSizeGb:     pulumi.Int(s.diskGB),
		DiskType:       pulumi.String(s.diskType),
		BootDiskKmsKey: component.Optional(s.key),
		ServiceAccount: pulumi.String(s.account),
		// The account's roles say what nodes may do; scopes would say it twice.
		OauthScopes: pulumi.ToStringArray([]string{"https://www.googleapis.com/auth/cloud-platform"}),
		ShieldedInstanceConfig: container.NodePoolNodeConfigShieldedInstanceConfigArgs{
			EnableSecureBoot:          pulumi.Bool(true),
			EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		// Pods get credentials of their own, never those of the node.
		WorkloadMetadataConfig: container.NodePoolNodeConfigWorkloadMetadataConfigArgs{Mode: pulumi.String("GKE_METADATA")},
		KubeletConfig: container.NodePoolNodeConfigKubeletConfigArgs{
			InsecureKubeletReadonlyPortEnabled: pulumi.String("FALSE"),
		},
		Taints:         parse(s.taints),
		Labels:         s.labels.Map(),
		ResourceLabels: s.labels.Map(),
	}
}

func zones(names []string) pulumi.StringArrayInput {
	if len(names) == 0 {
		return nil
	}
	return pulumi.ToStringArray(names)
}

// spread keeps a pool alive when a zone fails. For spot nodes it is better to
// take them from wherever there are some.
func spread(spot bool) string {
	if spot {
		return "ANY"
	}
	return "BALANCED"
}

func parse(taints []string) container.NodePoolNodeConfigTaintArray {
	var parsed container.NodePoolNodeConfigTaintArray
	for _, taint := range taints {
		key, rest, _ := strings.Cut(taint, "=")
		value, effect, _ := strings.Cut(rest, ":")
		parsed = append(parsed, container.NodePoolNodeConfigTaintArgs{
			Key:    pulumi.String(key),
			Value:  pulumi.String(value),
			Effect: pulumi.String(effects[effect]),
		})
	}
	return parsed
}
