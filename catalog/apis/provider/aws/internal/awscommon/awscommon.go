// Package awscommon makes what several of AWS's programs need: roles for
// services, and rules of security groups.
package awscommon

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

// Everyone is the Internet, as peers of a security group.
var Everyone = []string{"0.0.0.0/0", "::/0"}

// ManagedPolicies is how the ARNs of AWS's own policies start.
const ManagedPolicies = "arn:aws:iam::aws:policy/"

// ServiceRole is a role that one service may assume, such as
// ec2.amazonaws.com, with managed policies attached. What needs their rights
// takes the option: it is created after the policies are attached, and gone
// before they are detached.
func ServiceRole(ctx *pulumi.Context, name, service string, labels component.Labels, policies ...string) (*iam.Role, pulumi.ResourceOption, error) {
	role, err := iam.NewRole(ctx, name, &iam.RoleArgs{
		AssumeRolePolicy: pulumi.String(fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)),
		Tags: labels.Map(),
	})
	if err != nil {
		return nil, nil, err
	}
	attached := []pulumi.Resource{role}
	for _, policy := range policies {
		attachment, err := iam.NewRolePolicyAttachment(ctx, name+"-"+path.Base(policy), &iam.RolePolicyAttachmentArgs{
			Role:      role.Name,
			PolicyArn: pulumi.String(policy),
		})
		if err != nil {
			return nil, nil, err
		}
		attached = append(attached, attachment)
	}
	return role, pulumi.DependsOn(attached), nil
}

// Ports are those in the rules of a security group, of TCP unless Protocol says
// otherwise. A peer is a network or the ID of another group, whose members are
// meant.
type Ports struct {
	Group    pulumi.StringInput
	Protocol string
	From, To int
	Tags     pulumi.StringMap
}

// Admit lets the peers connect to these ports of the group's members.
func (p Ports) Admit(ctx *pulumi.Context, name string, peers ...string) error {
	for _, peer := range peers {
		args := p.rule(peer)
		if _, err := vpc.NewSecurityGroupIngressRule(ctx, p.name(name, "from", peer), &args); err != nil {
			return err
		}
	}
	return nil
}

// Reach lets the group's members connect to these ports of the peers.
func (p Ports) Reach(ctx *pulumi.Context, name string, peers ...string) error {
	for _, peer := range peers {
		args := vpc.SecurityGroupEgressRuleArgs(p.rule(peer))
		if _, err := vpc.NewSecurityGroupEgressRule(ctx, p.name(name, "to", peer), &args); err != nil {
			return err
		}
	}
	return nil
}

func (p Ports) name(group, direction, peer string) string {
	return fmt.Sprintf("%s-%s-%d-%s-%s", group, cmp.Or(p.Protocol, "tcp"), p.From, direction, peer)
}

// rule is the same for both directions, but for its type.
func (p Ports) rule(peer string) vpc.SecurityGroupIngressRuleArgs {
	args := vpc.SecurityGroupIngressRuleArgs{
		SecurityGroupId: p.Group,
		IpProtocol:      pulumi.String(cmp.Or(p.Protocol, "tcp")),
		FromPort:        pulumi.Int(p.From),
		ToPort:          pulumi.Int(p.To),
		Tags:            p.Tags,
	}
	switch {
	case strings.HasPrefix(peer, "sg-"):
		args.ReferencedSecurityGroupId = pulumi.String(peer)
	case strings.Contains(peer, ":"):
		args.CidrIpv6 = pulumi.String(peer)
	default:
		args.CidrIpv4 = pulumi.String(peer)
	}
	return args
}
