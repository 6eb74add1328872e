// A container app behind HTTPS in an environment of its own.
//
// Neither the registry nor the secrets have a password here: the app signs in
// to both with an identity, which exists before it, for without the roles of
// that identity its first start would fail.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/app/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/resources/v3"
	"github.com/pulumi/pulumi-azure-native-sdk/v3/commontypesv5"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	image    = component.NewFormat(`\S+(:[\w.-]+|@sha256:[0-9a-f]{64})`, "an image with a tag or digest, such as shop.azurecr.io/web:1.4.2")
	variable = component.NewFormat(`[A-Z][A-Z0-9_]*=.*`, "NAME=VALUE")
	secret   = component.NewFormat(`[A-Z][A-Z0-9_]*=https://[a-z0-9-]+\.vault\.azure\.net/secrets/[A-Za-z0-9-]+(/[0-9a-f]+)?`,
		"NAME=URL of a secret in Key Vault, such as TOKEN=https://shop.vault.azure.net/secrets/token")
)

// settings is one validated configuration.
type settings struct {
	name, location, subnet, image, identity, probe, cpu string
	port, least, most                                   int
	public, zones                                       bool
	networks, variables, secrets                        []string
	labels                                              component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:      config.Text("name", "start of the app's name", azure.DefaultShortName(config), azure.ShortName),
		location:  config.Text("location", "region, that of the subnet", "westeurope", azure.Location),
		subnet:    config.Text("subnetId", "the subnet of the environment", "", azure.ID("Microsoft.Network/virtualNetworks/subnets")),
		image:     config.Text("image", "container image", "", image),
		identity:  config.Text("identityId", "identity that may pull the image and read the secrets", "", azure.ID("Microsoft.ManagedIdentity/userAssignedIdentities").OrUnset()),
		port:      config.Int("port", "the container's HTTP port", 8080, 1, 65535),
		probe:     config.Text("probePath", "path of the liveness and readiness probes", "/", component.URLPath),
		cpu:       config.OneOf("cpu", "CPUs of each replica, with 2 GiB of memory for each CPU", "0.5", "0.25", "0.75", "1", "1.5", "2", "3", "4"),
		least:     config.Int("minReplicas", "number of replicas, at least; with 0 a first request waits for a start", 2, 0, 300),
		most:      config.Int("maxReplicas", "up to how many replicas there may be", 10, 1, 300),
		public:    config.Bool("public", "let the Internet reach the app", false),
		networks:  config.CIDRs("networks", "networks that may reach the app; without any, all that can"),
		zones:     config.Bool("zones", "spread the environment over availability zones", true),
		variables: config.List("variables", "environment variables", variable),
		secrets:   config.List("secrets", "environment variables from Key Vault", secret),
		labels:    config.Labels(),
	}
	if s.most < s.least {
		config.Reject("maxReplicas", "must be at least minReplicas, %d, not %d", s.least, s.most)
	}
	if s.identity == "" && (s.registry() != "" || len(s.secrets) > 0) {
		config.Reject("identityId", "is not set; without one nothing is had from a registry or vault in Azure")
	}
	return s, config.Err()
}

// registry is the one in Azure that the image comes from, if it does.
func (s settings) registry() string {
	host, _, _ := strings.Cut(s.image, "/")
	if !strings.HasSuffix(host, ".azurecr.io") {
		return ""
	}
	return host
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	group, err := azure.NewResourceGroup(ctx, s.name, s.location, s.labels)
	if err != nil {
		return err
	}
	environment, err := newEnvironment(ctx, s, group)
	if err != nil {
		return err
	}
	args := &app.ContainerAppArgs{
		ResourceGroupName:    group.Name,
		Location:             group.Location,
		ManagedEnvironmentId: environment.ID(),
		Configuration:        configuration(s),
		Template: app.TemplateArgs{
			Containers: app.ContainerArray{container(s)},
			Scale: app.ScaleArgs{
				MinReplicas: pulumi.Int(s.least),
				MaxReplicas: pulumi.Int(s.most),
			},
		},
		Tags: s.labels.Map(),
	}
	if s.identity != "" {
		args.Identity = commontypesv5.ManagedServiceIdentityArgs{
			Type:                   pulumi.String(commontypesv5.ManagedServiceIdentityTypeUserAssigned),
			UserAssignedIdentities: pulumi.ToStringArray([]string{s.identity}),
		}
	}
	result, err := app.NewContainerApp(ctx, s.name, args)
	if err != nil {
		return err
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("app", result.Name)
	ctx.Export("url", pulumi.Sprintf("https://%s", result.Configuration.Ingress().Fqdn().Elem()))
	ctx.Export("environmentId", environment.ID())
	return nil
}

// newEnvironment has its load balancer in the subnet unless the app is public,
// and encrypts the traffic between its apps.
func newEnvironment(ctx *pulumi.Context, s settings, group *resources.ResourceGroup) (*app.ManagedEnvironment, error) {
	return app.NewManagedEnvironment(ctx, s.name, &app.ManagedEnvironmentArgs{
		ResourceGroupName: group.Name,
		Location:          group.Location,
		VnetConfiguration: app.VnetConfigurationArgs{
			InfrastructureSubnetId: pulumi.String(s.subnet),
			Internal:               pulumi.Bool(!s.public),
		},
		WorkloadProfiles: app.WorkloadProfileArray{app.WorkloadProfileArgs{
			Name:                pulumi.String("Consumption"),
			WorkloadProfileType: pulumi.String("Consumption"),
		}},
		PeerTrafficConfiguration: app.ManagedEnvironmentPeerTrafficConfigurationArgs{
			Encryption: app.ManagedEnvironmentEncryptionArgs{Enabled: pulumi.Bool(true)},
		},
		AppLogsConfiguration: app.AppLogsConfigurationArgs{Destination: pulumi.String("azure-monitor")},
		ZoneRedundant:        pulumi.Bool(s.zones),
		Tags:                 s.labels.Map(),
	})
}

func configuration(s settings) app.ConfigurationArgs {
	var (
		allowed    app.IpSecurityRestrictionRuleArray
		registries app.RegistryCredentialsArray
		secrets    app.SecretArray
	)
	// One rule that allows denies all other addresses.
	for i, network := range s.networks {
		allowed = append(allowed, app.IpSecurityRestrictionRuleArgs{
			Name:           pulumi.String(fmt.Sprintf("allow-%d", i+1)),
			Action:         pulumi.String(app.ActionAllow),
			IpAddressRange: pulumi.String(network),
		})
	}
	if registry := s.registry(); registry != "" {
		registries = append(registries, app.RegistryCredentialsArgs{
			Server:   pulumi.String(registry),
			Identity: pulumi.String(s.identity),
		})
	}
	for _, item := range s.secrets {
		name, url, _ := strings.Cut(item, "=")
		secrets = append(secrets, app.SecretArgs{
			Name:        secretName(name),
			KeyVaultUrl: pulumi.String(url),
			Identity:    pulumi.String(s.identity),
		})
	}
	return app.ConfigurationArgs{
		ActiveRevisionsMode: pulumi.String(app.ActiveRevisionsModeSingle),
		Ingress: app.IngressArgs{
			// From outside the environment, that is; how far outside is said there.
			External:               pulumi.Bool(true),
			TargetPort:             pulumi.Int(s.port),
			Transport:              pulumi.String(app.IngressTransportMethodAuto),
			AllowInsecure:          pulumi.Bool(false),
			IpSecurityRestrictions: allowed,
		},
		Registries: registries,
		Secrets:    secrets,
	}
}

func container(s settings) app.ContainerArgs {
	cpus, _ := strconv.ParseFloat(s.cpu, 64) // each of the choices is a number
	var env app.EnvironmentVarArray
	for _, item := range s.variables {
		name, value, _ := strings.Cut(item, "=")
		env = append(env, app.EnvironmentVarArgs{Name: pulumi.String(name), Value: pulumi.String(value)})
	}
	for _, item := range s.secrets {
		name, _, _ := strings.Cut(item, "=")
		env = append(env, app.EnvironmentVarArgs{Name: pulumi.String(name), SecretRef: secretName(name)})
	}
	return app.ContainerArgs{
		Name:  pulumi.String("main"),
		Image: pulumi.String(s.image),
		Env:   env,
		Resources: app.ContainerResourcesArgs{
			Cpu:    pulumi.Float64(cpus),
			Memory: pulumi.String(fmt.Sprintf("%gGi", 2*cpus)),
		},
		Probes: app.ContainerAppProbeArray{probe(s, app.TypeReadiness), probe(s, app.TypeLiveness)},
	}
}

func probe(s settings, kind app.Type) app.ContainerAppProbeArgs {
	return app.ContainerAppProbeArgs{
		Type:    pulumi.String(kind),
		HttpGet: app.ContainerAppProbeHttpGetArgs{Path: pulumi.String(s.probe), Port: pulumi.Int(s.port)},
	}
}

// secretName is a variable's name as Container Apps spells those of secrets.
func secretName(variable string) pulumi.String {
	return pulumi.String(strings.ToLower(strings.ReplaceAll(variable, "_", "-")))
}
