// A Cloud Run service that runs as a service account of its own.
//
// Callers need two things: to come from where ingress lets them in, and the
// role to invoke it. By default both are shut.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/cloudrunv2"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/secretmanager"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var image = component.NewFormat(`[^\s@]+(:[\w.-]+|@sha256:[0-9a-f]{64})`, "an image with a tag or digest")

// settings is one validated configuration.
type settings struct {
	name, region, image, cpus, probe, ingress, subnetwork string
	memoryMiB, port, concurrency, timeout, fewest, most   int
	environment, secrets, invokers                        []string
	public, protect                                       bool
	labels                                                component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "name of the service and its service account", config.DefaultName(), formats.ID),
		region:      config.Text("region", "where it runs", "europe-west1", formats.Region),
		image:       config.Text("image", "container image with a tag or digest", "", image),
		port:        config.Int("port", "the container's HTTP port", 8080, 1, 65535),
		probe:       config.Text("probePath", "path of the startup and liveness probes; without one, an open port is enough", "", component.URLPath.OrUnset()),
		cpus:        config.OneOf("cpus", "CPUs of each instance", "1", "2", "4", "8"),
		memoryMiB:   config.Int("memoryMiB", "memory of each instance; 512 to 4096 for each CPU", 512, 512, 32768),
		concurrency: config.Int("concurrency", "requests that an instance answers at a time", 80, 1, 1000),
		timeout:     config.Int("timeoutSeconds", "how long a request may take", 60, 1, 3600),
		fewest:      config.Int("minInstances", "instances that are kept ready", 0, 0, 100),
		most:        config.Int("maxInstances", "instances at most", 10, 1, 1000),
		environment: config.List("environment", "environment variables", formats.Variable),
		secrets:     config.List("secrets", "environment variables from Secret Manager", formats.SecretVariable),
		ingress:     config.OneOf("ingress", "where requests may come from", "INTERNAL_ONLY", "INTERNAL_LOAD_BALANCER", "ALL"),
		invokers:    config.List("invokers", "members that may call it", formats.Member),
		public:      config.Bool("public", "let callers in without asking who they are", false),
		subnetwork:  config.Text("subnetwork", "subnetwork by which it reaches private addresses", "", formats.Subnetwork.OrUnset()),
		protect:     config.Bool("deletionProtection", "refuse to delete the service", true),
		labels:      config.Labels(),
	}
	if cpus, err := strconv.Atoi(s.cpus); err == nil && (s.memoryMiB < 512*cpus || s.memoryMiB > 4096*cpus) {
		config.Reject("memoryMiB", "must be from %d to %d with cpus %d, not %d", 512*cpus, 4096*cpus, cpus, s.memoryMiB)
	}
	if s.most < s.fewest {
		config.Reject("maxInstances", "must not be less than minInstances, which is %d", s.fewest)
	}
	if s.subnetwork != "" && !formats.InRegion(s.subnetwork, s.region) {
		config.Reject("subnetwork", "must be in the service's region, %s", s.region)
	}
	if s.public && len(s.invokers) > 0 {
		config.Reject("invokers", "is of no effect on a public service")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	account, err := serviceaccount.NewAccount(ctx, s.name, &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(s.name),
		DisplayName: pulumi.String("Cloud Run service " + s.name),
	})
	if err != nil {
		return err
	}
	grants, err := readSecrets(ctx, s, account)
	if err != nil {
		return err
	}
	service, err := cloudrunv2.NewService(ctx, s.name, &cloudrunv2.ServiceArgs{
		Name:               pulumi.String(s.name),
		Location:           pulumi.String(s.region),
		Ingress:            pulumi.String("INGRESS_TRAFFIC_" + s.ingress),
		InvokerIamDisabled: pulumi.Bool(s.public),
		Template: cloudrunv2.ServiceTemplateArgs{
			ServiceAccount:                account.Email,
			ExecutionEnvironment:          pulumi.String("EXECUTION_ENVIRONMENT_GEN2"),
			MaxInstanceRequestConcurrency: pulumi.Int(s.concurrency),
			Timeout:                       pulumi.String(fmt.Sprintf("%ds", s.timeout)),
			Scaling: cloudrunv2.ServiceTemplateScalingArgs{
				MinInstanceCount: pulumi.Int(s.fewest),
				MaxInstanceCount: pulumi.Int(s.most),
			},
			VpcAccess:  vpcAccess(s.subnetwork),
			Containers: cloudrunv2.ServiceTemplateContainerArray{container(s)},
		},
		DeletionProtection: pulumi.Bool(s.protect),
		Labels:             s.labels.Map(),
	},
		// A revision that may not read its secrets does not start.
		pulumi.DependsOn(grants))
	if err != nil {
		return err
	}
	for _, invoker := range s.invokers {
		if _, err := cloudrunv2.NewServiceIamMember(ctx, s.name+"-"+invoker, &cloudrunv2.ServiceIamMemberArgs{
			Name:     service.Name,
			Location: service.Location,
			Role:     pulumi.String("roles/run.invoker"),
			Member:   pulumi.String(invoker),
		}); err != nil {
			return err
		}
	}

	ctx.Export("service", service.Name)
	ctx.Export("url", service.Uri)
	ctx.Export("serviceAccount", account.Email)
	return nil
}

// readSecrets lets the service read those secrets that it is given, and no more.
func readSecrets(ctx *pulumi.Context, s settings, account *serviceaccount.Account) ([]pulumi.Resource, error) {
	var grants []pulumi.Resource
	for _, item := range s.secrets {
		name, secret, _ := secretOf(item)
		grant, err := secretmanager.NewSecretIamMember(ctx, s.name+"-"+name, &secretmanager.SecretIamMemberArgs{
			SecretId: pulumi.String(secret),
			Role:     pulumi.String("roles/secretmanager.secretAccessor"),
			Member:   account.Member,
		})
		if err != nil {
			return nil, err
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// secretOf takes a secret variable apart.
func secretOf(item string) (name, secret, version string) {
	name, value, _ := strings.Cut(item, "=")
	secret, version, _ = strings.Cut(value, ":")
	return name, secret, version
}

func container(s settings) cloudrunv2.ServiceTemplateContainerArgs {
	args := cloudrunv2.ServiceTemplateContainerArgs{
		Image: pulumi.String(s.image),
		Ports: cloudrunv2.ServiceTemplateContainerPortsArgs{ContainerPort: pulumi.Int(s.port)},
		Resources: cloudrunv2.ServiceTemplateContainerResourcesArgs{
			Limits: pulumi.StringMap{
				"cpu":    pulumi.String(s.cpus),
				"memory": pulumi.String(fmt.Sprintf("%dMi", s.memoryMiB)),
			},
			CpuIdle:         pulumi.Bool(true),
			StartupCpuBoost: pulumi.Bool(true),
		},
		Envs: environment(s),
	}
	if s.probe != "" {
		args.StartupProbe = cloudrunv2.ServiceTemplateContainerStartupProbeArgs{
			HttpGet: cloudrunv2.ServiceTemplateContainerStartupProbeHttpGetArgs{Path: pulumi.String(s.probe)},
		}
		args.LivenessProbe = cloudrunv2.ServiceTemplateContainerLivenessProbeArgs{
			HttpGet: cloudrunv2.ServiceTemplateContainerLivenessProbeHttpGetArgs{Path: pulumi.String(s.probe)},
		}
	}
	return args
}

func environment(s settings) cloudrunv2.ServiceTemplateContainerEnvArray {
	var variables cloudrunv2.ServiceTemplateContainerEnvArray
	for _, item := range s.environment {
		name, value, _ := strings.Cut(item, "=")
		variables = append(variables, cloudrunv2.ServiceTemplateContainerEnvArgs{
			Name:  pulumi.String(name),
			Value: pulumi.String(value),
		})
	}
	for _, item := range s.secrets {
		name, secret, version := secretOf(item)
		variables = append(variables, cloudrunv2.ServiceTemplateContainerEnvArgs{
			Name: pulumi.String(name),
			ValueSource: cloudrunv2.ServiceTemplateContainerEnvValueSourceArgs{
				SecretKeyRef: cloudrunv2.ServiceTemplateContainerEnvValueSourceSecretKeyRefArgs{
					Secret:  pulumi.String(secret),
					Version: pulumi.String(version),
				},
			},
		})
	}
	return variables
}

// vpcAccess leads to private addresses only: the Internet is reached without
// the detour.
func vpcAccess(subnetwork string) cloudrunv2.ServiceTemplateVpcAccessPtrInput {
	if subnetwork == "" {
		return nil
	}
	return cloudrunv2.ServiceTemplateVpcAccessArgs{
		Egress: pulumi.String("PRIVATE_RANGES_ONLY"),
		NetworkInterfaces: cloudrunv2.ServiceTemplateVpcAccessNetworkInterfaceArray{
			cloudrunv2.ServiceTemplateVpcAccessNetworkInterfaceArgs{Subnetwork: pulumi.String(subnetwork)},
		},
	}
}
