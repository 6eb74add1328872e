// Package formats is what the settings that several of AWS's programs share
// must look like. It needs no service's SDK: a program links its own only.
package formats

import (
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

var (
	// Name leaves room for what programs and Pulumi append: a role's name, the
	// tightest, has at most 64 characters.
	Name = component.NewFormat(`[a-z]([a-z0-9-]{0,38}[a-z0-9])?`,
		"1 to 40 lowercase letters, digits and hyphens, starting with a letter")
	VPC           = component.NewFormat(`vpc-[0-9a-f]{8,17}`, "the ID of a VPC such as vpc-0a1b2c3d")
	Subnet        = component.NewFormat(`subnet-[0-9a-f]{8,17}`, "the ID of a subnet such as subnet-0a1b2c3d")
	SecurityGroup = component.NewFormat(`sg-[0-9a-f]{8,17}`, "the ID of a security group such as sg-0a1b2c3d")
	// KMSKey may be empty: AWS then encrypts with a key of its own.
	KMSKey = component.NewFormat(`|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+`, "the ARN of a KMS key")
	Policy = component.NewFormat(`arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/\S+`, "the ARN of a managed policy")
	// Bucket may be empty.
	Bucket = component.NewFormat(`|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`, "the name of an S3 bucket")
	// KubernetesVersion may be empty: EKS then chooses.
	KubernetesVersion = component.NewFormat(`|1\.[0-9]{2}`, "a minor version such as 1.33")

	// Principal is somebody whom a policy names. An account stands for all of
	// it that its own policies let.
	Principal = component.NewFormat(`arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[A-Za-z0-9+=,.@_/-]+)`,
		"the ARN of a role, a user or an account, such as arn:aws:iam::123456789012:role/deploy")
	Service = component.NewFormat(`[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?`, "an AWS service such as ec2.amazonaws.com")
)

// Tags are the labels and the name that the console shows.
func Tags(labels component.Labels, name string) pulumi.StringMap {
	tags := labels.Map()
	tags["Name"] = pulumi.String(name)
	return tags
}

// Subnets reads the setting "subnets", for services that survive the failure
// of a zone and therefore want two.
func Subnets(config *component.Config, meaning string) []string {
	subnets := config.List("subnets", meaning+"; at least two, in different zones", Subnet)
	if len(subnets) < 2 {
		config.Reject("subnets", "needs at least 2, in different zones, not %d", len(subnets))
	}
	return subnets
}

// Clients reads who may connect, as peers of a security group.
func Clients(config *component.Config) []string {
	return append(config.CIDRs("clientNetworks", "networks that may connect"),
		config.List("clientGroups", "security groups whose members may connect", SecurityGroup)...)
}

// LogDays reads how long CloudWatch keeps logs. It takes certain spans only.
func LogDays(config *component.Config) int {
	// What is no number is none of the choices, and noted as a fault.
	days, _ := strconv.Atoi(config.OneOf("logDays", "how long logs are kept", "30", "1", "3", "7", "14", "60", "90", "180", "365", "731"))
	return days
}
