// An Application Load Balancer that speaks HTTPS only.
//
// It is inside the VPC unless asked otherwise, and lets nobody in until clients
// are named. Targets register themselves: an ECS service, an Auto Scaling
// group or the load balancer controller of a Kubernetes cluster.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/lb"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	// A random suffix of 8 characters brings loadBalancerName to AWS's limit of 32.
	loadBalancerName = component.NewFormat(`[a-z]([a-z0-9-]{0,22}[a-z0-9])?`,
		"1 to 24 lowercase letters, digits and hyphens, starting with a letter, as a random suffix follows")
	certificate = component.NewFormat(`arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[a-z0-9-]+`, "the ARN of a certificate in ACM")
)

// settings is one validated configuration.
type settings struct {
	name, vpcID, certificate, targetType, healthPath, logs string
	subnets, clients                                       []string
	port, idle, drain                                      int
	public, protect                                        bool
	labels                                                 component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "start of the load balancer's name", config.DefaultName(), loadBalancerName),
		vpcID:       config.Text("vpcId", "the VPC it is in", "", formats.VPC),
		subnets:     formats.Subnets(config, "subnets of that VPC, public ones for a public load balancer"),
		certificate: config.Text("certificate", "ARN of the certificate for HTTPS", "", certificate),
		public:      config.Bool("public", "give it public addresses, for everyone unless clients are named", false),
		clients:     formats.Clients(config),
		targetType:  config.OneOf("targetType", "what targets are: `ip` for containers, `instance` for EC2", "ip", "instance"),
		port:        config.Int("targetPort", "port of the targets, which speak HTTP", 8080, 1, 65535),
		healthPath:  config.Text("healthPath", "path that targets answer with 200 when they are well", "/", component.URLPath),
		idle:        config.Int("idleSeconds", "how long a connection may be silent", 60, 1, 4000),
		drain:       config.Int("drainSeconds", "how long requests may take to end when a target goes", 30, 0, 3600),
		logs:        config.Text("accessLogsBucket", "bucket for access logs; its policy must let the load balancer write", "", formats.Bucket),
		protect:     config.Bool("deletionProtection", "refuse to delete the load balancer", true),
		labels:      config.Labels(),
	}
	if s.public && len(s.clients) == 0 {
		s.clients = awscommon.Everyone
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	group, err := newGroup(ctx, s)
	if err != nil {
		return err
	}
	args := &lb.LoadBalancerArgs{
		LoadBalancerType:         pulumi.String("application"),
		Internal:                 pulumi.Bool(!s.public),
		Subnets:                  pulumi.ToStringArray(s.subnets),
		SecurityGroups:           pulumi.StringArray{group.ID()},
		DropInvalidHeaderFields:  pulumi.Bool(true),
		EnableDeletionProtection: pulumi.Bool(s.protect),
		IdleTimeout:              pulumi.Int(s.idle),
		Tags:                     s.labels.Map(),
	}
	if s.logs != "" {
		args.AccessLogs = lb.LoadBalancerAccessLogsArgs{
			Bucket:  pulumi.String(s.logs),
			Prefix:  pulumi.String(s.name),
			Enabled: pulumi.Bool(true),
		}
	}
	balancer, err := lb.NewLoadBalancer(ctx, s.name, args)
	if err != nil {
		return err
	}
	targets, err := lb.NewTargetGroup(ctx, s.name, &lb.TargetGroupArgs{
		VpcId:               pulumi.String(s.vpcID),
		TargetType:          pulumi.String(s.targetType),
		Protocol:            pulumi.String("HTTP"),
		Port:                pulumi.Int(s.port),
		DeregistrationDelay: pulumi.Int(s.drain),
		HealthCheck: lb.TargetGroupHealthCheckArgs{
			Path:               pulumi.String(s.healthPath),
			Matcher:            pulumi.String("200"),
			Interval:           pulumi.Int(10),
			Timeout:            pulumi.Int(5),
			HealthyThreshold:   pulumi.Int(2),
			UnhealthyThreshold: pulumi.Int(3),
		},
		Tags: s.labels.Map(),
	})
	if err != nil {
		return err
	}
	listener, err := listen(ctx, s, balancer, targets)
	if err != nil {
		return err
	}

	ctx.Export("loadBalancerArn", balancer.Arn)
	ctx.Export("dnsName", balancer.DnsName)
	ctx.Export("zoneId", balancer.ZoneId)
	ctx.Export("listenerArn", listener.Arn)
	ctx.Export("targetGroupArn", targets.Arn)
	ctx.Export("securityGroupId", group.ID())
	return nil
}

// newGroup lets clients in, and the load balancer reach targets, wherever they
// are, on their port alone.
func newGroup(ctx *pulumi.Context, s settings) (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(ctx, s.name, &ec2.SecurityGroupArgs{
		VpcId: pulumi.String(s.vpcID),
		Tags:  formats.Tags(s.labels, s.name),
	})
	if err != nil {
		return nil, err
	}
	for _, port := range []int{80, 443} {
		web := awscommon.Ports{Group: group.ID(), From: port, To: port, Tags: s.labels.Map()}
		if err := web.Admit(ctx, s.name, s.clients...); err != nil {
			return nil, err
		}
	}
	target := awscommon.Ports{Group: group.ID(), From: s.port, To: s.port, Tags: s.labels.Map()}
	return group, target.Reach(ctx, s.name, "0.0.0.0/0")
}

// listen forwards HTTPS, and sends those who ask by HTTP there.
func listen(ctx *pulumi.Context, s settings, balancer *lb.LoadBalancer, targets *lb.TargetGroup) (*lb.Listener, error) {
	if _, err := lb.NewListener(ctx, s.name+"-http", &lb.ListenerArgs{
		LoadBalancerArn: balancer.Arn,
		Protocol:        pulumi.String("HTTP"),
		Port:            pulumi.Int(80),
		DefaultActions: lb.ListenerDefaultActionArray{lb.ListenerDefaultActionArgs{
			Type: pulumi.String("redirect"),
			Redirect: lb.ListenerDefaultActionRedirectArgs{
				Protocol:   pulumi.String("HTTPS"),
				Port:       pulumi.String("443"),
				StatusCode: pulumi.String("HTTP_301"),
			},
		}},
		Tags: s.labels.Map(),
	}); err != nil {
		return nil, err
	}
	return lb.NewListener(ctx, s.name+"-https", &lb.ListenerArgs{
		LoadBalancerArn: balancer.Arn,
		Protocol:        pulumi.String("HTTPS"),
		Port:            pulumi.Int(443),
		SslPolicy:       pulumi.String("ELBSecurityPolicy-TLS13-1-2-Res-2021-06"),
		CertificateArn:  pulumi.String(s.certificate),
		DefaultActions: lb.ListenerDefaultActionArray{lb.ListenerDefaultActionArgs{
			Type:           pulumi.String("forward"),
			TargetGroupArn: targets.Arn,
		}},
		// Browsers then do not even try HTTP.
		RoutingHttpResponseStrictTransportSecurityHeaderValue: pulumi.String("max-age=31536000"),
		RoutingHttpResponseServerEnabled:                      pulumi.Bool(false),
		Tags:                                                  s.labels.Map(),
	})
}
