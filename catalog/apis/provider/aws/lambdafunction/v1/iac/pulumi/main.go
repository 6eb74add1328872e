// A Lambda function with a role and a log group of its own.
//
// The role may write to that log group, and otherwise only what the named
// policies allow.
package main

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/lambda"
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
	// image is in ECR, as Lambda takes it from nowhere else.
	image = component.NewFormat(`|[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[a-z0-9._/-]+(:[\w.-]+|@sha256:[0-9a-f]{64})`,
		"an image in ECR with a tag or digest")
	anything = component.NewFormat(`.*`, "a text")
	handler  = component.NewFormat(`\S{1,128}`, "1 to 128 characters without spaces")
	variable = component.NewFormat(`[A-Za-z][A-Za-z0-9_]*=(?s:.*)`, "a variable such as STAGE=test")
)

// settings is one validated configuration.
type settings struct {
	name, image, bucket, object, version, runtime, handler, architecture, key string
	variables, policies, subnets, groups                                      []string
	memory, timeout, concurrency, logDays                                     int
	labels                                                                    component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:         config.Text("name", "name of the function, its role and log group", config.DefaultName(), formats.Name),
		image:        config.Text("image", "container image to run; either this or `codeBucket` and `codeKey`", "", image),
		bucket:       config.Text("codeBucket", "bucket with the code's archive", "", formats.Bucket),
		object:       config.Text("codeKey", "key of the archive in the bucket", "", anything),
		version:      config.Text("codeVersion", "version of the archive; without one, only another key brings new code", "", anything),
		runtime:      config.OneOf("runtime", "what runs an archive's code", "provided.al2023", "nodejs22.x", "python3.13", "java21", "dotnet8", "ruby3.4"),
		handler:      config.Text("handler", "what is called in an archive's code", "bootstrap", handler),
		architecture: config.OneOf("architecture", "architecture of the processor", "arm64", "x86_64"),
		memory:       config.Int("memoryMB", "memory, with which the share of a processor grows", 256, 128, 10240),
		timeout:      config.Int("timeoutSeconds", "how long a call may take", 30, 1, 900),
		concurrency:  config.Int("maxConcurrency", "how many calls may run at a time, set aside for this function; -1 leaves it to the account", -1, -1, 10000),
		variables:    config.List("environment", "environment variables; no secrets, everyone who may look at the function sees them", variable),
		key:          config.Text("kmsKey", "ARN of the KMS key to encrypt environment variables with", "", formats.KMSKey),
		policies:     config.List("policies", "managed policies that say what the function may do", formats.Policy),
		subnets:      config.List("subnets", "subnets of a VPC to connect to, with `securityGroups`", formats.Subnet),
		groups:       config.List("securityGroups", "security groups that say what it reaches in the VPC", formats.SecurityGroup),
		logDays:      formats.LogDays(config),
		labels:       config.Labels(),
	}
	if (s.image == "") == (s.bucket == "") {
		config.Reject("image", "set either this or codeBucket")
	}
	if (s.bucket == "") != (s.object == "") {
		config.Reject("codeKey", "goes with codeBucket, and the other way round")
	}
	if (len(s.subnets) == 0) != (len(s.groups) == 0) {
		config.Reject("securityGroups", "go with subnets, and the other way round")
	}
	if slices.ContainsFunc(s.variables, func(variable string) bool { return strings.HasPrefix(variable, "AWS_") }) {
		config.Reject("environment", "must not set AWS_ variables, which Lambda keeps to itself")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	logs, err := cloudwatch.NewLogGroup(ctx, s.name, &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/aws/lambda/" + s.name),
		RetentionInDays: pulumi.Int(s.logDays),
		Tags:            s.labels.Map(),
	})
	if err != nil {
		return err
	}
	role, ready, err := newRole(ctx, s, logs)
	if err != nil {
		return err
	}
	args := &lambda.FunctionArgs{
		Name:                         pulumi.String(s.name),
		Role:                         role.Arn,
		Architectures:                pulumi.ToStringArray([]string{s.architecture}),
		MemorySize:                   pulumi.Int(s.memory),
		Timeout:                      pulumi.Int(s.timeout),
		ReservedConcurrentExecutions: pulumi.Int(s.concurrency),
		KmsKeyArn:                    component.Optional(s.key),
		TracingConfig:                lambda.FunctionTracingConfigArgs{Mode: pulumi.String("Active")},
		LoggingConfig: lambda.FunctionLoggingConfigArgs{
			LogFormat: pulumi.String("JSON"),
			LogGroup:  logs.Name,
		},
		Tags: s.labels.Map(),
	}
	s.addCode(args)
	if len(s.variables) > 0 {
		args.Environment = lambda.FunctionEnvironmentArgs{Variables: environment(s.variables)}
	}
	if len(s.subnets) > 0 {
		args.VpcConfig = lambda.FunctionVpcConfigArgs{
			SubnetIds:        pulumi.ToStringArray(s.subnets),
			SecurityGroupIds: pulumi.ToStringArray(s.groups),
		}
	}
	function, err := lambda.NewFunction(ctx, s.name, args, ready...)
	if err != nil {
		return err
	}

	ctx.Export("functionName", function.Name)
	ctx.Export("functionArn", function.Arn)
	ctx.Export("roleName", role.Name)
	ctx.Export("logGroup", logs.Name)
	return nil
}

// newRole does without AWSLambdaBasicExecutionRole, which may write to the logs
// of all functions.
func newRole(ctx *pulumi.Context, s settings, logs *cloudwatch.LogGroup) (*iam.Role, []pulumi.ResourceOption, error) {
	policies := append([]string{awscommon.ManagedPolicies + "AWSXRayDaemonWriteAccess"}, s.policies...)
	if len(s.subnets) > 0 {
		policies = append(policies, awscommon.ManagedPolicies+"service-role/AWSLambdaENIManagementAccess")
	}
	role, ready, err := awscommon.ServiceRole(ctx, s.name, "lambda.amazonaws.com", s.labels, policies...)
	if err != nil {
		return nil, nil, err
	}
	write, err := iam.NewRolePolicy(ctx, s.name, &iam.RolePolicyArgs{
		Role: role.Name,
		Policy: iampolicy.Document(iampolicy.Statement{
			Effect:   "Allow",
			Action:   []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resource: pulumi.Sprintf("%s:*", logs.Arn),
		}),
	})
	return role, []pulumi.ResourceOption{ready, pulumi.DependsOn([]pulumi.Resource{write})}, err
}

func (s settings) addCode(args *lambda.FunctionArgs) {
	if s.image != "" {
		args.PackageType = pulumi.String("Image")
		args.ImageUri = pulumi.String(s.image)
		return
	}
	args.S3Bucket = pulumi.String(s.bucket)
	args.S3Key = pulumi.String(s.object)
	args.S3ObjectVersion = component.Optional(s.version)
	args.Runtime = pulumi.String(s.runtime)
	args.Handler = pulumi.String(s.handler)
}

func environment(variables []string) pulumi.StringMap {
	environment := pulumi.StringMap{}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = pulumi.String(value)
	}
	return environment
}
