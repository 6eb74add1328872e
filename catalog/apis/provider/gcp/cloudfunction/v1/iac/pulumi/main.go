// A Cloud Run function, 2nd generation, built from a folder.
//
// It runs as one account and is built as another. By default Google uses its
// Compute Engine account for both, which may change the whole project.
package main

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/cloudfunctionsv2"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/cloudrunv2"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/secretmanager"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// longestEvent is for how many seconds a function may work on an event.
const longestEvent = 540

var (
	// functionName leaves room for the suffix of the builder's account.
	functionName = component.NewFormat(`[a-z][a-z0-9-]{4,22}[a-z0-9]`, "6 to 24 lowercase letters, digits and hyphens, starting with a letter")
	runtimeName  = component.NewFormat(`(nodejs|python|go|java|dotnet|ruby|php)[0-9]+`, "a runtime such as python313")
	entryPoint   = component.NewFormat(`[A-Za-z_][\w.]*`, "the name of a function or class")
	folder       = component.NewFormat(`\S.*`, "a path")
)

// settings is one validated configuration.
type settings struct {
	name, region, runtime, entryPoint, source, topic, ingress, memory string
	timeout, least, most                                              int
	invokers, environment, secrets, roles                             []string
	labels                                                            component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "name of the function and, with `-build` for the builder's, of its accounts", config.DefaultName(), functionName),
		region:      config.Text("region", "where it runs", "europe-west1", formats.Region),
		source:      config.Text("source", "folder with its code", "", folder),
		runtime:     config.Text("runtime", "language and version", "", runtimeName),
		entryPoint:  config.Text("entryPoint", "what in the code is called", "", entryPoint),
		topic:       config.Text("topic", "Pub/Sub topic whose messages call it", "", formats.Topic.OrUnset()),
		invokers:    config.List("invokers", "members that may call it by HTTP", formats.Member),
		ingress:     config.OneOf("ingress", "from where it can be called", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_ALL"),
		memory:      config.OneOf("memory", "memory of each instance, with CPU in proportion", "256Mi", "512Mi", "1Gi", "2Gi", "4Gi", "8Gi"),
		timeout:     config.Int("timeoutSeconds", "how long a call may take; at most 540 seconds with a topic", 60, 1, 3600),
		least:       config.Int("minInstances", "instances that always wait for calls", 0, 0, 100),
		most:        config.Int("maxInstances", "up to how many instances it scales", 10, 1, 1000),
		environment: config.List("environment", "environment variables", formats.Variable),
		secrets:     config.List("secrets", "environment variables from Secret Manager", formats.SecretVariable),
		roles:       config.List("roles", "what it may do in the project", formats.Role),
		labels:      config.Labels(),
	}
	if s.topic != "" && s.timeout > longestEvent {
		config.Reject("timeoutSeconds", "must be at most %d with a topic, not %d", longestEvent, s.timeout)
	}
	if s.least > s.most {
		config.Reject("minInstances", "must be at most maxInstances, %d", s.most)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	account, granted, err := newAccount(ctx, s.name, s.roles...)
	if err != nil {
		return err
	}
	service, readable, err := serviceConfig(ctx, s, account)
	if err != nil {
		return err
	}
	build, buildable, err := buildConfig(ctx, s)
	if err != nil {
		return err
	}
	args := &cloudfunctionsv2.FunctionArgs{
		Name:          pulumi.String(s.name),
		Location:      pulumi.String(s.region),
		BuildConfig:   build,
		ServiceConfig: service,
		Labels:        s.labels.Map(),
	}
	if s.topic != "" {
		args.EventTrigger = cloudfunctionsv2.FunctionEventTriggerArgs{
			EventType:           pulumi.String("google.cloud.pubsub.topic.v1.messagePublished"),
			PubsubTopic:         pulumi.String(s.topic),
			RetryPolicy:         pulumi.String("RETRY_POLICY_RETRY"),
			ServiceAccountEmail: account.Email,
		}
	}
	function, err := cloudfunctionsv2.NewFunction(ctx, s.name, args,
		pulumi.DependsOn(slices.Concat(granted, readable, buildable)))
	if err != nil {
		return err
	}
	for _, invoker := range s.invokers {
		if err := letInvoke(ctx, s.name+"-"+invoker, function, pulumi.String(invoker)); err != nil {
			return err
		}
	}
	if s.topic != "" {
		if err := letInvoke(ctx, s.name, function, account.Member); err != nil {
			return err
		}
	}

	ctx.Export("function", function.Name)
	ctx.Export("url", function.Url)
	ctx.Export("serviceAccount", account.Email)
	return nil
}

// newAccount makes an account with roles in the project.
func newAccount(ctx *pulumi.Context, name string, roles ...string) (account *serviceaccount.Account, granted []pulumi.Resource, err error) {
	account, err = serviceaccount.NewAccount(ctx, name, &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(name),
		DisplayName: pulumi.String("Function " + name),
	})
	if err != nil {
		return nil, nil, err
	}
	for _, role := range roles {
		grant, err := projects.NewIAMMember(ctx, name+"-"+role, &projects.IAMMemberArgs{
			Project: account.Project,
			Role:    pulumi.String(role),
			Member:  account.Member,
		})
		if err != nil {
			return nil, nil, err
		}
		granted = append(granted, grant)
	}
	return account, granted, nil
}

// serviceConfig is how the function runs. The grants let it read its secrets.
func serviceConfig(ctx *pulumi.Context, s settings, account *serviceaccount.Account) (config cloudfunctionsv2.FunctionServiceConfigArgs, granted []pulumi.Resource, err error) {
	variables := pulumi.StringMap{}
	for _, variable := range s.environment {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = pulumi.String(value)
	}
	var secrets cloudfunctionsv2.FunctionServiceConfigSecretEnvironmentVariableArray
	for _, variable := range s.secrets {
		name, value, _ := strings.Cut(variable, "=")
		secret, version, _ := strings.Cut(value, ":")
		secrets = append(secrets, cloudfunctionsv2.FunctionServiceConfigSecretEnvironmentVariableArgs{
			Key:       pulumi.String(name),
			ProjectId: account.Project,
			Secret:    pulumi.String(secret),
			Version:   pulumi.String(version),
		})
		grant, err := secretmanager.NewSecretIamMember(ctx, s.name+"-"+name, &secretmanager.SecretIamMemberArgs{
			SecretId: pulumi.String(secret),
			Role:     pulumi.String("roles/secretmanager.secretAccessor"),
			Member:   account.Member,
		})
		if err != nil {
			return config, nil, err
		}
		granted = append(granted, grant)
	}
	return cloudfunctionsv2.FunctionServiceConfigArgs{
		ServiceAccountEmail:        account.Email,
		IngressSettings:            pulumi.String(s.ingress),
		AvailableMemory:            pulumi.String(s.memory),
		TimeoutSeconds:             pulumi.Int(s.timeout),
		MinInstanceCount:           pulumi.Int(s.least),
		MaxInstanceCount:           pulumi.Int(s.most),
		AllTrafficOnLatestRevision: pulumi.Bool(true),
		EnvironmentVariables:       variables,
		SecretEnvironmentVariables: secrets,
	}, granted, nil
}

// buildConfig uploads the code and says how to build it. The grants let the
// builder's account do so.
func buildConfig(ctx *pulumi.Context, s settings) (config cloudfunctionsv2.FunctionBuildConfigArgs, granted []pulumi.Resource, err error) {
	bucket, err := storage.NewBucket(ctx, s.name+"-source", &storage.BucketArgs{
		Location:                 pulumi.String(strings.ToUpper(s.region)),
		UniformBucketLevelAccess: pulumi.Bool(true),
		PublicAccessPrevention:   pulumi.String("enforced"),
		ForceDestroy:             pulumi.Bool(true),
		Labels:                   s.labels.Map(),
	})
	if err != nil {
		return config, nil, err
	}
	// Pulumi gives it another name whenever the code changes: that is how the
	// function learns of it.
	code, err := storage.NewBucketObject(ctx, s.name, &storage.BucketObjectArgs{
		Bucket: bucket.Name,
		Source: pulumi.NewFileArchive(s.source),
	})
	if err != nil {
		return config, nil, err
	}
	builder, granted, err := newAccount(ctx, s.name+"-build", "roles/logging.logWriter", "roles/artifactregistry.writer")
	if err != nil {
		return config, nil, err
	}
	// Google copies the code to a bucket of its own making, from which it is
	// built: hence a role in the project, though for such buckets only.
	grant, err := projects.NewIAMMember(ctx, s.name+"-build-source", &projects.IAMMemberArgs{
		Project: builder.Project,
		Role:    pulumi.String("roles/storage.objectViewer"),
		Member:  builder.Member,
		Condition: projects.IAMMemberConditionArgs{
			Title:      pulumi.String("sources of functions"),
			Expression: pulumi.String(`resource.name.startsWith("projects/_/buckets/gcf-v2-sources-")`),
		},
	})
	if err != nil {
		return config, nil, err
	}
	return cloudfunctionsv2.FunctionBuildConfigArgs{
		Runtime:        pulumi.String(s.runtime),
		EntryPoint:     pulumi.String(s.entryPoint),
		ServiceAccount: builder.Name,
		Source: cloudfunctionsv2.FunctionBuildConfigSourceArgs{
			StorageSource: cloudfunctionsv2.FunctionBuildConfigSourceStorageSourceArgs{Bucket: bucket.Name, Object: code.Name},
		},
		// The runtime's security fixes need no deployment.
		AutomaticUpdatePolicy: cloudfunctionsv2.FunctionBuildConfigAutomaticUpdatePolicyArgs{},
	}, append(granted, grant), nil
}

// letInvoke lets a member call the Cloud Run service behind the function, which
// has its name.
func letInvoke(ctx *pulumi.Context, name string, function *cloudfunctionsv2.Function, member pulumi.StringInput) error {
	_, err := cloudrunv2.NewServiceIamMember(ctx, name, &cloudrunv2.ServiceIamMemberArgs{
		Location: function.Location,
		Name:     function.Name,
		Role:     pulumi.String("roles/run.invoker"),
		Member:   member,
	})
	return err
}
