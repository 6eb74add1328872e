// A group of nodes for an EKS cluster.
//
// EKS starts, upgrades and repairs them; the launch template encrypts their
// volumes and keeps pods away from the nodes' own role.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	clusterName  = component.NewFormat(`[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}`, "the name of an EKS cluster")
	instanceType = component.NewFormat(`[a-z][a-z0-9-]*\.[a-z0-9-]+`, "a type of instance such as m7g.large")
	taint        = component.NewFormat(`[A-Za-z0-9][\w./-]*=[\w.-]*:(NoSchedule|PreferNoSchedule|NoExecute)`, "a taint such as dedicated=gpu:NoSchedule")

	// Each architecture has its own types of instances.
	defaultType = map[string]string{"arm64": "m7g.large", "x86_64": "m7i.large"}
	images      = map[string]map[string]string{
		"al2023":       {"arm64": "AL2023_ARM_64_STANDARD", "x86_64": "AL2023_x86_64_STANDARD"},
		"bottlerocket": {"arm64": "BOTTLEROCKET_ARM_64", "x86_64": "BOTTLEROCKET_x86_64"},
	}
	// dataDevice is the volume that containers are on: Bottlerocket has itself
	// on another one, which never changes.
	dataDevice = map[string]string{"al2023": "/dev/xvda", "bottlerocket": "/dev/xvdb"}
	// effects are spelt by EKS otherwise than by Kubernetes.
	effects = map[string]string{"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}

	policies = []string{
		awscommon.ManagedPolicies + "AmazonEKSWorkerNodePolicy",
		awscommon.ManagedPolicies + "AmazonEKS_CNI_Policy",
		awscommon.ManagedPolicies + "AmazonEC2ContainerRegistryPullOnly",
		// For a shell on a node: none has a key.
		awscommon.ManagedPolicies + "AmazonSSMManagedInstanceCore",
	}
)

// settings is one validated configuration.
type settings struct {
	name, cluster, version, os, architecture, capacity, key string
	subnets, types, taints                                  []string
	least, most, disk                                       int
	labels                                                  component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:         config.Text("name", "name of the nodes, and start of those of their group and role", config.DefaultName(), formats.Name),
		cluster:      config.Text("clusterName", "the cluster they join", "", clusterName),
		version:      config.Text("kubernetesVersion", "Kubernetes version, not newer than the cluster's; without one, the cluster's at the time of creation", "", formats.KubernetesVersion),
		subnets:      formats.Subnets(config, "private subnets of the nodes"),
		os:           config.OneOf("os", "operating system", "bottlerocket", "al2023"),
		architecture: config.OneOf("architecture", "architecture of the processors", "arm64", "x86_64"),
		types:        config.List("instanceTypes", "types of instances, several for `SPOT`; without any, `m7g.large` or `m7i.large`", instanceType),
		capacity:     config.OneOf("capacity", "how instances are paid; AWS may take a `SPOT` one back at any time", "ON_DEMAND", "SPOT"),
		least:        config.Int("minNodes", "lowest number of nodes, with which the group starts", 2, 0, 450),
		most:         config.Int("maxNodes", "highest number of nodes, for an autoscaler", 4, 1, 450),
		disk:         config.Int("diskGB", "size of each node's volume for images and pods", 50, 20, 16384),
		key:          config.Text("kmsKey", "ARN of the KMS key to encrypt volumes with", "", formats.KMSKey),
		taints:       config.List("taints", "taints that keep other pods away", taint),
		labels:       config.Labels(),
	}
	if s.most < s.least {
		config.Reject("maxNodes", "must not be lower than minNodes, which is %d", s.least)
	}
	if len(s.types) == 0 {
		s.types = []string{defaultType[s.architecture]}
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	role, ready, err := awscommon.ServiceRole(ctx, s.name, "ec2.amazonaws.com", s.labels, policies...)
	if err != nil {
		return err
	}
	template, err := launchTemplate(ctx, s)
	if err != nil {
		return err
	}
	group, err := eks.NewNodeGroup(ctx, s.name, &eks.NodeGroupArgs{
		ClusterName:   pulumi.String(s.cluster),
		Version:       component.Optional(s.version),
		NodeRoleArn:   role.Arn,
		SubnetIds:     pulumi.ToStringArray(s.subnets),
		AmiType:       pulumi.String(images[s.os][s.architecture]),
		InstanceTypes: pulumi.ToStringArray(s.types),
		CapacityType:  pulumi.String(s.capacity),
		LaunchTemplate: eks.NodeGroupLaunchTemplateArgs{
			Id:      template.ID(),
			Version: pulumi.Sprintf("%d", template.LatestVersion),
		},
		ScalingConfig: eks.NodeGroupScalingConfigArgs{
			MinSize:     pulumi.Int(s.least),
			DesiredSize: pulumi.Int(s.least),
			MaxSize:     pulumi.Int(s.most),
		},
		UpdateConfig:     eks.NodeGroupUpdateConfigArgs{MaxUnavailablePercentage: pulumi.Int(33)},
		NodeRepairConfig: eks.NodeGroupNodeRepairConfigArgs{Enabled: pulumi.Bool(true)},
		Taints:           taints(s.taints),
		Labels:           s.labels.Map(),
		Tags:             s.labels.Map(),
	},
		ready,
		// From then on the number is the autoscaler's.
		pulumi.IgnoreChanges([]string{"scalingConfig.desiredSize"}),
	)
	if err != nil {
		return err
	}

	ctx.Export("nodeGroupName", group.NodeGroupName)
	ctx.Export("nodeGroupArn", group.Arn)
	ctx.Export("roleArn", role.Arn)
	return nil
}

func launchTemplate(ctx *pulumi.Context, s settings) (*ec2.LaunchTemplate, error) {
	tags := formats.Tags(s.labels, s.name)
	var tagged ec2.LaunchTemplateTagSpecificationArray
	for _, kind := range []string{"instance", "volume", "network-interface"} {
		tagged = append(tagged, ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String(kind), Tags: tags})
	}
	return ec2.NewLaunchTemplate(ctx, s.name, &ec2.LaunchTemplateArgs{
		BlockDeviceMappings: ec2.LaunchTemplateBlockDeviceMappingArray{ec2.LaunchTemplateBlockDeviceMappingArgs{
			DeviceName: pulumi.String(dataDevice[s.os]),
			Ebs: ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
				VolumeType:          pulumi.String("gp3"),
				VolumeSize:          pulumi.Int(s.disk),
				Encrypted:           pulumi.String("true"),
				KmsKeyId:            component.Optional(s.key),
				DeleteOnTermination: pulumi.String("true"),
			},
		}},
		// One hop does not reach into pods: they have roles by Pod Identity.
		MetadataOptions: ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint:            pulumi.String("enabled"),
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		TagSpecifications: tagged,
		Tags:              tags,
	})
}

func taints(texts []string) eks.NodeGroupTaintArray {
	var taints eks.NodeGroupTaintArray
	for _, text := range texts {
		key, rest, _ := strings.Cut(text, "=")
		value, effect, _ := strings.Cut(rest, ":")
		taints = append(taints, eks.NodeGroupTaintArgs{
			Key:    pulumi.String(key),
			Value:  component.Optional(value),
			Effect: pulumi.String(effects[effect]),
		})
	}
	return taints
}
