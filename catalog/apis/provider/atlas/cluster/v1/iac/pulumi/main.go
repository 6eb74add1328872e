// A MongoDB Atlas replica set with backups and an access list.
package main

import (
	"maps"
	"slices"

	"github.com/pulumi/pulumi-mongodbatlas/sdk/v3/go/mongodbatlas"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	projectID  = component.NewFormat(`[0-9a-f]{24}`, "a project ID of 24 hexadecimal digits")
	regionName = component.NewFormat(`[A-Z]+(_[A-Z0-9]+)*`, "a region as Atlas spells it, such as EU_WEST_1")

	// sizes are from the smallest to the largest.
	sizes = []string{"M10", "M20", "M30", "M40", "M50", "M60", "M80"}
	// Each cloud has its own names for regions.
	defaultRegion = map[string]string{"AWS": "EU_WEST_1", "GCP": "WESTERN_EUROPE", "AZURE": "EUROPE_WEST"}
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		project  = pulumi.String(config.Text("projectId", "the Atlas project, 24 hexadecimal digits", "", projectID))
		name     = config.Text("name", "the cluster's name", config.DefaultName(), component.DNSLabel)
		cloud    = config.OneOf("cloud", "the cloud it runs in", "AWS", "GCP", "AZURE")
		region   = config.Text("region", "a region as Atlas spells it", defaultRegion[cloud], regionName)
		size     = config.OneOf("instanceSize", "size of each instance", sizes...)
		largest  = config.OneOf("largestInstanceSize", "up to which size instances may scale", sizes[max(0, slices.Index(sizes, size)):]...)
		nodes    = config.Int("nodes", "number of nodes; an odd one", 3, 3, 7)
		version  = config.OneOf("mongoVersion", "MongoDB's version", "8.0", "7.0")
		networks = config.CIDRs("networks", "networks that may connect; the list holds for the whole Atlas project")
		protect  = config.Bool("terminationProtection", "refuse to delete the cluster", true)
		labels   = config.Labels()
	)
	if nodes%2 == 0 {
		config.Reject("nodes", "must be odd, so that an election has a winner, not %d", nodes)
	}
	if err := config.Err(); err != nil {
		return err
	}

	cluster, err := mongodbatlas.NewAdvancedCluster(ctx, name, &mongodbatlas.AdvancedClusterArgs{
		ProjectId:           project,
		Name:                pulumi.String(name),
		ClusterType:         pulumi.String("REPLICASET"),
		MongoDbMajorVersion: pulumi.String(version),
		ReplicationSpecs: mongodbatlas.AdvancedClusterReplicationSpecArray{mongodbatlas.AdvancedClusterReplicationSpecArgs{
			RegionConfigs: mongodbatlas.AdvancedClusterReplicationSpecRegionConfigArray{
				mongodbatlas.AdvancedClusterReplicationSpecRegionConfigArgs{
					ProviderName: pulumi.String(cloud),
					RegionName:   pulumi.String(region),
					Priority:     pulumi.Int(7),
					ElectableSpecs: mongodbatlas.AdvancedClusterReplicationSpecRegionConfigElectableSpecsArgs{
						InstanceSize: pulumi.String(size),
						NodeCount:    pulumi.Int(nodes),
					},
					AutoScaling: autoScaling(size, largest),
				},
			},
		}},
		BackupEnabled:                pulumi.Bool(true),
		PitEnabled:                   pulumi.Bool(true),
		RetainBackupsEnabled:         pulumi.Bool(true),
		TerminationProtectionEnabled: pulumi.Bool(protect),
		RedactClientLogData:          pulumi.Bool(true),
		AdvancedConfiguration: mongodbatlas.AdvancedClusterAdvancedConfigurationArgs{
			MinimumEnabledTlsProtocol: pulumi.String("TLS1_2"),
			JavascriptEnabled:         pulumi.Bool(false),
		},
		Tags: tags(labels),
	})
	if err != nil {
		return err
	}
	for _, network := range networks {
		if _, err := mongodbatlas.NewProjectIpAccessList(ctx, network, &mongodbatlas.ProjectIpAccessListArgs{
			ProjectId: project,
			CidrBlock: pulumi.String(network),
			Comment:   pulumi.String(labels.Words()),
		}); err != nil {
			return err
		}
	}

	ctx.Export("clusterId", cluster.ClusterId)
	ctx.Export("connectionString", cluster.ConnectionStrings.ApplyT(
		func(all []mongodbatlas.AdvancedClusterConnectionString) *string {
			if len(all) == 0 {
				return nil
			}
			return all[0].StandardSrv
		}))
	return nil
}

// autoScaling lets the disk grow, and the instances up to the largest size.
func autoScaling(smallest, largest string) mongodbatlas.AdvancedClusterReplicationSpecRegionConfigAutoScalingArgs {
	scaling := mongodbatlas.AdvancedClusterReplicationSpecRegionConfigAutoScalingArgs{DiskGbEnabled: pulumi.Bool(true)}
	if smallest != largest {
		scaling.ComputeEnabled = pulumi.Bool(true)
		scaling.ComputeScaleDownEnabled = pulumi.Bool(true)
		scaling.ComputeMinInstanceSize = pulumi.String(smallest)
		scaling.ComputeMaxInstanceSize = pulumi.String(largest)
	}
	return scaling
}

func tags(labels component.Labels) mongodbatlas.AdvancedClusterTagArray {
	var tags mongodbatlas.AdvancedClusterTagArray
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		tags = append(tags, mongodbatlas.AdvancedClusterTagArgs{
			Key:   pulumi.String(key),
			Value: pulumi.String(labels[key]),
		})
	}
	return tags
}
