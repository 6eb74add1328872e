// Package database is what the programs for RDS share: the forms of their
// settings, what RDS refuses of them, and who may connect.
package database

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

// Identifier is the name of a database or a user.
var Identifier = component.NewFormat(`[a-zA-Z][a-zA-Z0-9_]{0,15}`, "1 to 16 letters, digits and underscores, starting with a letter")

// Version is the form of an engine's version, with major ones as examples.
func Version(examples string) component.Format {
	return component.NewFormat(`[0-9]+(\.[0-9]+)?`, "a major version such as "+examples)
}

// CheckVersion rejects minor versions, as a parameter group is for one major
// version. Those of the engine have as many parts as the given one.
func CheckVersion(config *component.Config, engine, version, major string) {
	if strings.Contains(version, ".") != strings.Contains(major, ".") {
		config.Reject("engineVersion", "must be a major version of %s such as %s, not %q", engine, major, version)
	}
}

// CheckName rejects names that RDS does not take.
func CheckName(config *component.Config, name string) {
	if strings.Contains(name, "--") {
		config.Reject("name", "must not have two hyphens in a row")
	}
}

// Admit lets clients connect to the port, and the database itself nowhere.
func Admit(ctx *pulumi.Context, name, vpcID string, port int, labels component.Labels, clients []string) (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(ctx, name, &ec2.SecurityGroupArgs{
		VpcId: pulumi.String(vpcID),
		Tags:  formats.Tags(labels, name),
	})
	if err != nil {
		return nil, err
	}
	ports := awscommon.Ports{Group: group.ID(), From: port, To: port, Tags: labels.Map()}
	return group, ports.Admit(ctx, name, clients...)
}
