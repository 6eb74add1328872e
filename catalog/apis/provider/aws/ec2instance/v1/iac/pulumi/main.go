// An EC2 instance without open ports.
//
// Nobody needs a key or an open SSH port: Session Manager starts a shell, and
// IAM says who may. Whoever else is to be let in has a security group for it.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	ami          = component.NewFormat(`ami-[0-9a-f]{8,17}`, "the ID of an image such as ami-0a1b2c3d")
	instanceType = component.NewFormat(`[a-z][a-z0-9-]*\.[a-z0-9-]+`, "a type of instance such as t4g.small")
	script       = component.NewFormat(`|(?s:#.*)`, "a text that starts with #, such as #!/bin/sh or #cloud-config")
)

// maxUserData is EC2's limit in bytes.
const maxUserData = 16 * 1024

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "name of the instance, and start of those of its role and security group", config.DefaultName(), formats.Name)
		vpcID    = config.Text("vpcId", "the VPC it runs in", "", formats.VPC)
		subnet   = config.Text("subnetId", "a subnet of that VPC", "", formats.Subnet)
		image    = config.Text("ami", "what it boots; another image replaces the instance", "", ami)
		size     = config.Text("instanceType", "its size, for the image's architecture", "t4g.small", instanceType)
		disk     = config.Int("diskGB", "size of the root volume", 20, 8, 16384)
		key      = config.Text("kmsKey", "ARN of the KMS key to encrypt the volume with", "", formats.KMSKey)
		groups   = config.List("securityGroups", "more security groups to put it in", formats.SecurityGroup)
		policies = config.List("policies", "managed policies that say what its programs may do", formats.Policy)
		userData = config.Text("userData", "script or cloud-config for the first boot", "", script)
		publicIP = config.Bool("publicIp", "give it a public address; needs a public subnet", false)
		protect  = config.Bool("terminationProtection", "refuse to terminate the instance", true)
		labels   = config.Labels()
	)
	if len(userData) > maxUserData {
		config.Reject("userData", "must have %d bytes at most, not %d", maxUserData, len(userData))
	}
	if err := config.Err(); err != nil {
		return err
	}

	group, err := newGroup(ctx, name, vpcID, labels)
	if err != nil {
		return err
	}
	profile, ready, err := newProfile(ctx, name, policies, labels)
	if err != nil {
		return err
	}
	tags := formats.Tags(labels, name)
	instance, err := ec2.NewInstance(ctx, name, &ec2.InstanceArgs{
		Ami:                      pulumi.String(image),
		InstanceType:             pulumi.String(size),
		SubnetId:                 pulumi.String(subnet),
		VpcSecurityGroupIds:      append(pulumi.StringArray{group.ID()}, pulumi.ToStringArray(groups)...),
		AssociatePublicIpAddress: pulumi.Bool(publicIP),
		IamInstanceProfile:       profile.Name,
		UserData:                 component.Optional(userData),
		DisableApiTermination:    pulumi.Bool(protect),
		// Tokens keep a program that can be made to fetch any URL from the
		// role's credentials; one hop keeps containers from them.
		MetadataOptions: ec2.InstanceMetadataOptionsArgs{
			HttpEndpoint:            pulumi.String("enabled"),
			HttpTokens:              pulumi.String("required"),
			HttpPutResponseHopLimit: pulumi.Int(1),
		},
		RootBlockDevice: ec2.InstanceRootBlockDeviceArgs{
			VolumeType: pulumi.String("gp3"),
			VolumeSize: pulumi.Int(disk),
			Encrypted:  pulumi.Bool(true),
			KmsKeyId:   component.Optional(key),
			Tags:       tags,
		},
		Tags: tags,
	}, ready)
	if err != nil {
		return err
	}

	ctx.Export("instanceId", instance.ID())
	ctx.Export("privateIp", instance.PrivateIp)
	if publicIP {
		ctx.Export("publicIp", instance.PublicIp)
	}
	ctx.Export("securityGroupId", group.ID())
	ctx.Export("roleName", profile.Role)
	return nil
}

// newGroup lets nobody in, and out what Systems Manager and package
// repositories need. AWS would otherwise take the VPC's default group.
func newGroup(ctx *pulumi.Context, name, vpcID string, labels component.Labels) (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(ctx, name, &ec2.SecurityGroupArgs{
		VpcId: pulumi.String(vpcID),
		Tags:  formats.Tags(labels, name),
	})
	if err != nil {
		return nil, err
	}
	https := awscommon.Ports{Group: group.ID(), From: 443, To: 443, Tags: labels.Map()}
	return group, https.Reach(ctx, name, awscommon.Everyone...)
}

func newProfile(ctx *pulumi.Context, name string, policies []string, labels component.Labels) (*iam.InstanceProfile, pulumi.ResourceOption, error) {
	policies = append([]string{awscommon.ManagedPolicies + "AmazonSSMManagedInstanceCore"}, policies...)
	role, ready, err := awscommon.ServiceRole(ctx, name, "ec2.amazonaws.com", labels, policies...)
	if err != nil {
		return nil, nil, err
	}
	profile, err := iam.NewInstanceProfile(ctx, name, &iam.InstanceProfileArgs{
		Role: role.Name,
		Tags: labels.Map(),
	})
	return profile, ready, err
}
