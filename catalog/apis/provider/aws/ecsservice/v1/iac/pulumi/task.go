package main

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

const (
	containerName = "main"
	// scratch is the volume that the container may write to.
	scratch = "tmp"
)

// newTask is what the service runs. It has two roles: that of ECS, to start it,
// and its own. Both have their rights before it exists.
func newTask(ctx *pulumi.Context, s settings) (*ecs.TaskDefinition, error) {
	logs, err := cloudwatch.NewLogGroup(ctx, s.name, &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/aws/ecs/" + s.name),
		KmsKeyId:        component.Optional(s.key),
		RetentionInDays: pulumi.Int(s.logDays),
		Tags:            s.labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	execution, started, err := awscommon.ServiceRole(ctx, s.name+"-execution", "ecs-tasks.amazonaws.com", s.labels,
		awscommon.ManagedPolicies+"service-role/AmazonECSTaskExecutionRolePolicy")
	if err != nil {
		return nil, err
	}
	own, allowed, err := awscommon.ServiceRole(ctx, s.name+"-task", "ecs-tasks.amazonaws.com", s.labels, s.policies...)
	if err != nil {
		return nil, err
	}
	opts := []pulumi.ResourceOption{started, allowed}
	if len(s.secrets) > 0 {
		policy, err := iam.NewRolePolicy(ctx, s.name, &iam.RolePolicyArgs{Role: execution.Name, Policy: iampolicy.Document(s.reading()...)})
		if err != nil {
			return nil, err
		}
		opts = append(opts, pulumi.DependsOn([]pulumi.Resource{policy}))
	}
	return ecs.NewTaskDefinition(ctx, s.name, &ecs.TaskDefinitionArgs{
		Family:                  pulumi.String(s.name),
		RequiresCompatibilities: pulumi.ToStringArray([]string{"FARGATE"}),
		NetworkMode:             pulumi.String("awsvpc"),
		Cpu:                     pulumi.String(s.cpu),
		Memory:                  pulumi.Sprintf("%d", s.memory),
		RuntimePlatform: ecs.TaskDefinitionRuntimePlatformArgs{
			OperatingSystemFamily: pulumi.String("LINUX"),
			CpuArchitecture:       pulumi.String(s.architecture),
		},
		ExecutionRoleArn:     execution.Arn,
		TaskRoleArn:          own.Arn,
		ContainerDefinitions: pulumi.JSONMarshal([]any{s.container(logs)}),
		Volumes:              ecs.TaskDefinitionVolumeArray{ecs.TaskDefinitionVolumeArgs{Name: pulumi.String(scratch)}},
		Tags:                 s.labels.Map(),
	}, opts...)
}

// container has no capabilities, and changes nothing but its /tmp.
func (s settings) container(logs *cloudwatch.LogGroup) map[string]any {
	return map[string]any{
		"name":                   containerName,
		"image":                  s.image,
		"essential":              true,
		"environment":            pairs(s.variables, "value"),
		"secrets":                pairs(s.secrets, "valueFrom"),
		"portMappings":           []any{map[string]any{"containerPort": s.port, "protocol": "tcp"}},
		"readonlyRootFilesystem": true,
		"mountPoints":            []any{map[string]any{"sourceVolume": scratch, "containerPath": "/tmp"}},
		"linuxParameters": map[string]any{
			"initProcessEnabled": true,
			"capabilities":       map[string]any{"drop": []string{"ALL"}},
		},
		"logConfiguration": map[string]any{
			"logDriver": "awslogs",
			"options": map[string]any{
				"awslogs-group":         logs.Name,
				"awslogs-region":        logs.Region,
				"awslogs-stream-prefix": containerName,
				// Logs that CloudWatch does not take are no reason for the program to wait.
				"mode": "non-blocking",
			},
		},
	}
}

// pairs are variables as ECS spells them.
func pairs(variables []string, value string) []any {
	pairs := []any{}
	for _, variable := range variables {
		name, text, _ := strings.Cut(variable, "=")
		pairs = append(pairs, map[string]any{"name": name, value: text})
	}
	return pairs
}

// reading lets ECS read the secrets that the container is started with.
func (s settings) reading() []iampolicy.Statement {
	var arns []string
	for _, secret := range s.secrets {
		_, arn, _ := strings.Cut(secret, "=")
		// What follows the seventh part picks a field or a version of the secret.
		parts := strings.Split(arn, ":")
		arns = append(arns, strings.Join(parts[:min(len(parts), 7)], ":"))
	}
	statements := []iampolicy.Statement{{
		Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue", "ssm:GetParameters"}, Resource: arns,
	}}
	if s.key != "" {
		statements = append(statements, iampolicy.Statement{Effect: "Allow", Action: []string{"kms:Decrypt"}, Resource: s.key})
	}
	return statements
}
