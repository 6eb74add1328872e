// A service of containers on Fargate, with roles, logs and scaling of its own.
//
// A deployment that does not get healthy is rolled back, and fails the update.
package main

import (
	"path"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/appautoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ecs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	cluster     = component.NewFormat(`arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+`, "the ARN of an ECS cluster")
	variable    = component.NewFormat(`[A-Za-z_][A-Za-z0-9_]*=(?s:.*)`, "a variable such as STAGE=test")
	secret      = component.NewFormat(`[A-Za-z_][A-Za-z0-9_]*=arn:aws[a-z-]*:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:|ssm:[a-z0-9-]+:[0-9]{12}:parameter/)\S+`, "a variable and the ARN of a secret or parameter, such as TOKEN=arn:aws:secretsmanager:…")
	targetGroup = component.NewFormat(`|arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/\S+`, "the ARN of a target group")
)

// settings is one validated configuration.
type settings struct {
	name, cluster, image, cpu, architecture, capacity, vpc, targetGroup, key string
	memory, port, tasks, maxTasks, utilization, logDays                      int
	subnets, clients, groups, variables, secrets, policies                   []string
	labels                                                                   component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:         config.Text("name", "name of the service, and start of those of its roles", config.DefaultName(), formats.Name),
		cluster:      config.Text("cluster", "ARN of the cluster", "", cluster),
		image:        config.Text("image", "container image with a tag or digest", "", component.Image),
		architecture: config.OneOf("architecture", "the processor's", "ARM64", "X86_64"),
		cpu:          config.OneOf("cpu", "CPU units of a task, 1024 a processor", "256", "512", "1024", "2048", "4096"),
		memory:       config.Int("memoryMB", "memory of a task; from twice to eight times `cpu`, in steps of 1024", 512, 512, 30720),
		port:         config.Int("port", "the container's port", 8080, 1, 65535),
		tasks:        config.Int("tasks", "number of tasks at least", 2, 1, 1000),
		maxTasks:     config.Int("maxTasks", "number of tasks at most", 10, 1, 1000),
		utilization:  config.Int("cpuPercent", "use of the CPU that the number of tasks is scaled to", 60, 10, 90),
		capacity:     config.OneOf("capacity", "what tasks run on; AWS can take `FARGATE_SPOT` back", "FARGATE", "FARGATE_SPOT"),
		vpc:          config.Text("vpcId", "the VPC the tasks run in", "", formats.VPC),
		subnets:      formats.Subnets(config, "private subnets of that VPC"),
		clients:      formats.Clients(config),
		groups:       config.List("securityGroups", "more security groups to put the tasks in; their own lets them reach HTTPS only", formats.SecurityGroup),
		targetGroup:  config.Text("targetGroup", "ARN of a load balancer's target group, of type `ip`", "", targetGroup),
		variables:    config.List("environment", "environment variables", variable),
		secrets:      config.List("secrets", "environment variables from Secrets Manager and Parameter Store, as `NAME=ARN`", secret),
		key:          config.Text("kmsKey", "ARN of the KMS key that encrypts the logs and the secrets", "", formats.KMSKey),
		policies:     config.List("policies", "managed policies that say what the tasks may do", formats.Policy),
		logDays:      formats.LogDays(config),
		labels:       config.Labels(),
	}
	if strings.HasSuffix(s.image, ":latest") {
		config.Reject("image", "needs another tag, as latest is a different image tomorrow")
	}
	if units, err := strconv.Atoi(s.cpu); err == nil && !fits(units, s.memory) {
		config.Reject("memoryMB", "must be from twice to eight times the cpu %d and a multiple of 1024, not %d", units, s.memory)
	}
	if s.maxTasks < s.tasks {
		config.Reject("maxTasks", "must be at least tasks, %d, not %d", s.tasks, s.maxTasks)
	}
	if s.targetGroup != "" && len(s.clients) == 0 {
		config.Reject("clientGroups", "is not set: the load balancer could not connect")
	}
	return s, config.Err()
}

// fits says whether Fargate has tasks of that size. Half a gigabyte is for the
// smallest only; the most is a limit of the setting.
func fits(cpu, memory int) bool {
	return (memory%1024 == 0 || memory == 512) && 2*cpu <= memory && memory <= 8*cpu
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	group, err := ec2.NewSecurityGroup(ctx, s.name, &ec2.SecurityGroupArgs{
		VpcId: pulumi.String(s.vpc),
		Tags:  formats.Tags(s.labels, s.name),
	})
	if err != nil {
		return err
	}
	serve := awscommon.Ports{Group: group.ID(), From: s.port, To: s.port, Tags: s.labels.Map()}
	if err := serve.Admit(ctx, s.name, s.clients...); err != nil {
		return err
	}
	// Images, secrets and logs come and go by HTTPS.
	https := awscommon.Ports{Group: group.ID(), From: 443, To: 443, Tags: s.labels.Map()}
	if err := https.Reach(ctx, s.name, awscommon.Everyone...); err != nil {
		return err
	}
	task, err := newTask(ctx, s)
	if err != nil {
		return err
	}
	service, err := newService(ctx, s, group, task)
	if err != nil {
		return err
	}
	if err := scale(ctx, s, service); err != nil {
		return err
	}

	ctx.Export("service", service.Name)
	ctx.Export("taskDefinitionArn", task.Arn)
	ctx.Export("taskRoleArn", task.TaskRoleArn)
	ctx.Export("securityGroupId", group.ID())
	return nil
}

func newService(ctx *pulumi.Context, s settings, group *ec2.SecurityGroup, task *ecs.TaskDefinition) (*ecs.Service, error) {
	args := &ecs.ServiceArgs{
		Name:           pulumi.String(s.name),
		Cluster:        pulumi.String(s.cluster),
		TaskDefinition: task.Arn,
		DesiredCount:   pulumi.Int(s.tasks),
		CapacityProviderStrategies: ecs.ServiceCapacityProviderStrategyArray{ecs.ServiceCapacityProviderStrategyArgs{
			CapacityProvider: pulumi.String(s.capacity),
			Weight:           pulumi.Int(1),
		}},
		NetworkConfiguration: ecs.ServiceNetworkConfigurationArgs{
			Subnets:        pulumi.ToStringArray(s.subnets),
			SecurityGroups: append(pulumi.StringArray{group.ID()}, pulumi.ToStringArray(s.groups)...),
			AssignPublicIp: pulumi.Bool(false),
		},
		DeploymentCircuitBreaker: ecs.ServiceDeploymentCircuitBreakerArgs{
			Enable:   pulumi.Bool(true),
			Rollback: pulumi.Bool(true),
		},
		AvailabilityZoneRebalancing: pulumi.String("ENABLED"),
		WaitForSteadyState:          pulumi.Bool(true),
		EnableEcsManagedTags:        pulumi.Bool(true),
		PropagateTags:               pulumi.String("SERVICE"),
		Tags:                        s.labels.Map(),
	}
	if s.targetGroup != "" {
		args.LoadBalancers = ecs.ServiceLoadBalancerArray{ecs.ServiceLoadBalancerArgs{
			TargetGroupArn: pulumi.String(s.targetGroup),
			ContainerName:  pulumi.String(containerName),
			ContainerPort:  pulumi.Int(s.port),
		}}
		args.HealthCheckGracePeriodSeconds = pulumi.Int(60)
	}
	// The number of tasks belongs to the scaling once they run.
	return ecs.NewService(ctx, s.name, args, pulumi.IgnoreChanges([]string{"desiredCount"}))
}

func scale(ctx *pulumi.Context, s settings, service *ecs.Service) error {
	target, err := appautoscaling.NewTarget(ctx, s.name, &appautoscaling.TargetArgs{
		ServiceNamespace:  pulumi.String("ecs"),
		ScalableDimension: pulumi.String("ecs:service:DesiredCount"),
		ResourceId:        pulumi.Sprintf("service/%s/%s", path.Base(s.cluster), service.Name),
		MinCapacity:       pulumi.Int(s.tasks),
		MaxCapacity:       pulumi.Int(s.maxTasks),
		Tags:              s.labels.Map(),
	})
	if err != nil {
		return err
	}
	_, err = appautoscaling.NewPolicy(ctx, s.name, &appautoscaling.PolicyArgs{
		ServiceNamespace:  target.ServiceNamespace,
		ScalableDimension: target.ScalableDimension,
		ResourceId:        target.ResourceId,
		PolicyType:        pulumi.String("TargetTrackingScaling"),
		TargetTrackingScalingPolicyConfiguration: appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs{
			TargetValue: pulumi.Float64(s.utilization),
			PredefinedMetricSpecification: appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs{
				PredefinedMetricType: pulumi.String("ECSServiceAverageCPUUtilization"),
			},
		},
	})
	return err
}
