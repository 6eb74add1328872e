// A VPC with private and public subnets in several availability zones.
//
// Nothing in it has a public address unless it asks for one, the default
// security group is empty, and all traffic is logged.
package main

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	zone = component.NewFormat(`[a-z]{2}(-[a-z]+)+-[0-9][a-z]`, "an availability zone such as eu-west-1a")
	// block is only looked at here: run takes it apart.
	block = component.NewFormat(`\S+`, "a private IPv4 network from /16 to /20, such as 10.0.0.0/16")

	// elbTags are those by which a Kubernetes cluster's load balancers find
	// their subnets.
	elbTags = map[string]string{"public": "kubernetes.io/role/elb", "private": "kubernetes.io/role/internal-elb"}
)

// network is one validated configuration.
type network struct {
	name, nat string
	block     netip.Prefix
	zones     []string
	days      int
	labels    component.Labels
}

func load(ctx *pulumi.Context) (network, error) {
	config := component.NewConfig(ctx)
	name := config.Text("name", "name of the VPC, with which those of its parts start", config.DefaultName(), formats.Name)
	text := config.Text("network", "the VPC's addresses", "10.0.0.0/16", block)
	n := network{
		name:   name,
		zones:  config.List("zones", "two to six zones, each of which gets a private and a public subnet; add further ones at the end", zone),
		nat:    config.OneOf("natGateways", "gateways by which private subnets reach the Internet; one in each zone survives the failure of a zone", "one", "each-zone", "none"),
		days:   formats.LogDays(config),
		labels: config.Labels(),
	}
	var err error
	n.block, err = netip.ParsePrefix(text)
	if address := n.block.Addr(); err != nil || n.block != n.block.Masked() || !address.Is4() || !address.IsPrivate() ||
		n.block.Bits() < 16 || n.block.Bits() > 20 {
		config.Reject("network", "must be %s, not %q", block.Words, text)
	}
	if count := len(n.zones); count < 2 || count > 6 || len(slices.Compact(slices.Sorted(slices.Values(n.zones)))) < count {
		config.Reject("zones", "needs 2 to 6 different zones")
	}
	return n, config.Err()
}

func run(ctx *pulumi.Context) error {
	n, err := load(ctx)
	if err != nil {
		return err
	}
	vpc, err := ec2.NewVpc(ctx, n.name, &ec2.VpcArgs{
		CidrBlock:          pulumi.String(n.block.String()),
		EnableDnsSupport:   pulumi.Bool(true),
		EnableDnsHostnames: pulumi.Bool(true),
		Tags:               formats.Tags(n.labels, n.name),
	})
	if err != nil {
		return err
	}
	// Taken over without rules: what is started without a group of its own
	// reaches nothing.
	if _, err := ec2.NewDefaultSecurityGroup(ctx, n.name, &ec2.DefaultSecurityGroupArgs{
		VpcId: vpc.ID(),
		Tags:  formats.Tags(n.labels, n.name+"-default"),
	}); err != nil {
		return err
	}
	if err := n.logTraffic(ctx, vpc); err != nil {
		return err
	}
	private, public, err := n.divide(ctx, vpc)
	if err != nil {
		return err
	}

	ctx.Export("vpcId", vpc.ID())
	ctx.Export("network", vpc.CidrBlock)
	ctx.Export("privateSubnetIds", private)
	ctx.Export("publicSubnetIds", public)
	return nil
}

// divide gives each zone a private subnet, a sixteenth of the VPC, and a public
// one for load balancers and gateways: they share the last sixteenth.
func (n network) divide(ctx *pulumi.Context, vpc *ec2.Vpc) (private, public pulumi.StringArray, err error) {
	internet, err := ec2.NewInternetGateway(ctx, n.name, &ec2.InternetGatewayArgs{
		VpcId: vpc.ID(),
		Tags:  formats.Tags(n.labels, n.name),
	})
	if err != nil {
		return nil, nil, err
	}
	everywhere := pulumi.String("0.0.0.0/0")
	in := ec2.RouteTableRouteArray{ec2.RouteTableRouteArgs{CidrBlock: everywhere, GatewayId: internet.ID()}}
	var out ec2.RouteTableRouteArray
	var tables pulumi.StringArray
	for i, zone := range n.zones {
		outer, _, err := n.subnet(ctx, vpc, "public", zone, part(n.block, 8, 15*16+i), in)
		if err != nil {
			return nil, nil, err
		}
		if n.nat == "each-zone" || n.nat == "one" && i == 0 {
			gateway, err := n.natGateway(ctx, zone, outer, pulumi.DependsOn([]pulumi.Resource{internet}))
			if err != nil {
				return nil, nil, err
			}
			out = ec2.RouteTableRouteArray{ec2.RouteTableRouteArgs{CidrBlock: everywhere, NatGatewayId: gateway.ID()}}
		}
		inner, table, err := n.subnet(ctx, vpc, "private", zone, part(n.block, 4, i), out)
		if err != nil {
			return nil, nil, err
		}
		public = append(public, outer.ID())
		private = append(private, inner.ID())
		tables = append(tables, table.ID())
	}
	// Traffic to S3 takes this way, which costs nothing, unlike a NAT gateway.
	_, err = ec2.NewVpcEndpoint(ctx, n.name+"-s3", &ec2.VpcEndpointArgs{
		VpcId:           vpc.ID(),
		VpcEndpointType: pulumi.String("Gateway"),
		ServiceName:     pulumi.Sprintf("com.amazonaws.%s.s3", vpc.Region),
		RouteTableIds:   tables,
		Tags:            formats.Tags(n.labels, n.name+"-s3"),
	})
	return private, public, err
}

func (n network) subnet(ctx *pulumi.Context, vpc *ec2.Vpc, kind, zone, block string, routes ec2.RouteTableRouteArray) (*ec2.Subnet, *ec2.RouteTable, error) {
	name := n.name + "-" + kind + "-" + zone
	table, err := ec2.NewRouteTable(ctx, name, &ec2.RouteTableArgs{
		VpcId:  vpc.ID(),
		Routes: routes,
		Tags:   formats.Tags(n.labels, name),
	})
	if err != nil {
		return nil, nil, err
	}
	tags := formats.Tags(n.labels, name)
	tags[elbTags[kind]] = pulumi.String("1")
	subnet, err := ec2.NewSubnet(ctx, name, &ec2.SubnetArgs{
		VpcId:               vpc.ID(),
		AvailabilityZone:    pulumi.String(zone),
		CidrBlock:           pulumi.String(block),
		MapPublicIpOnLaunch: pulumi.Bool(false),
		Tags:                tags,
	})
	if err != nil {
		return nil, nil, err
	}
	_, err = ec2.NewRouteTableAssociation(ctx, name, &ec2.RouteTableAssociationArgs{
		SubnetId:     subnet.ID(),
		RouteTableId: table.ID(),
	})
	return subnet, table, err
}

// natGateway takes what it has to wait for: AWS refuses a gateway, and its
// address, while the VPC has no way to the Internet.
func (n network) natGateway(ctx *pulumi.Context, zone string, subnet *ec2.Subnet, after pulumi.ResourceOption) (*ec2.NatGateway, error) {
	name := n.name + "-nat-" + zone
	address, err := ec2.NewEip(ctx, name, &ec2.EipArgs{
		Domain: pulumi.String("vpc"),
		Tags:   formats.Tags(n.labels, name),
	}, after)
	if err != nil {
		return nil, err
	}
	return ec2.NewNatGateway(ctx, name, &ec2.NatGatewayArgs{
		SubnetId:     subnet.ID(),
		AllocationId: address.ID(),
		Tags:         formats.Tags(n.labels, name),
	}, after)
}

func (n network) logTraffic(ctx *pulumi.Context, vpc *ec2.Vpc) error {
	name := n.name + "-flow-logs"
	group, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		RetentionInDays: pulumi.Int(n.days),
		Tags:            n.labels.Map(),
	})
	if err != nil {
		return err
	}
	role, _, err := awscommon.ServiceRole(ctx, name, "vpc-flow-logs.amazonaws.com", n.labels)
	if err != nil {
		return err
	}
	policy, err := iam.NewRolePolicy(ctx, name, &iam.RolePolicyArgs{
		Role: role.Name,
		Policy: iampolicy.Document(iampolicy.Statement{
			Effect:   "Allow",
			Action:   []string{"logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"},
			Resource: pulumi.Sprintf("%s:*", group.Arn),
		}),
	})
	if err != nil {
		return err
	}
	_, err = ec2.NewFlowLog(ctx, n.name, &ec2.FlowLogArgs{
		VpcId:          vpc.ID(),
		TrafficType:    pulumi.String("ALL"),
		LogDestination: group.Arn,
		IamRoleArn:     role.Arn,
		Tags:           formats.Tags(n.labels, n.name),
	}, pulumi.DependsOn([]pulumi.Resource{policy}))
	return err
}

// part is the i-th of the networks that have so many bits more in their prefix.
func part(network netip.Prefix, bits, i int) string {
	first := network.Addr().As4()
	length := network.Bits() + bits
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(first[:])+uint32(i)<<(32-length))
	return netip.PrefixFrom(netip.AddrFrom4(address), length).String()
}
