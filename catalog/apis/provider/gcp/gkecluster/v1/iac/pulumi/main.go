// A private, regional GKE cluster, and the service account of its nodes.
//
// It has no nodes: they come from the component gkenodepool, so that a pool can
// be replaced without the cluster. Nobody outside the subnetwork reaches the
// Kubernetes API until networks are named.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/container"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// settings is one validated configuration.
type settings struct {
	name, region, network, subnetwork, podRange, serviceRange string
	channel, admission, key                                   string
	apiNetworks                                               []string
	dnsEndpoint, protect                                      bool
	maintenanceHour                                           int
	labels                                                    component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:            config.Text("name", "name of the cluster and its nodes' service account", config.DefaultName(), formats.ID),
		region:          config.Text("region", "where it runs, in all zones", "europe-west1", formats.Region),
		network:         config.Text("network", "the network it is in", "", formats.Network),
		subnetwork:      config.Text("subnetwork", "the subnetwork of the nodes, in the same region", "", formats.Subnetwork),
		podRange:        config.Text("podRange", "the subnetwork's secondary range for pods", "pods", component.DNSLabel),
		serviceRange:    config.Text("serviceRange", "the subnetwork's secondary range for services", "services", component.DNSLabel),
		channel:         config.OneOf("releaseChannel", "which versions of Kubernetes it is updated to", "REGULAR", "STABLE", "RAPID", "EXTENDED"),
		maintenanceHour: config.Int("maintenanceHour", "hour of the day, in UTC, at which updates may begin", 3, 0, 23),
		apiNetworks:     config.CIDRs("apiNetworks", "networks that reach the Kubernetes API at a public address; without any it has none"),
		dnsEndpoint:     config.Bool("dnsEndpoint", "let everyone with an IAM role reach the Kubernetes API by its DNS name, from anywhere", false),
		admission:       config.OneOf("binaryAuthorization", "whether the project's Binary Authorization policy says which images may run", "DISABLED", "PROJECT_SINGLETON_POLICY_ENFORCE"),
		key:             config.Text("kmsKey", "KMS key to encrypt Kubernetes Secrets with", "", formats.KMSKey.OrUnset()),
		protect:         config.Bool("deletionProtection", "refuse to delete the cluster", true),
		labels:          config.Labels(),
	}
	if s.subnetwork != "" && !formats.InRegion(s.subnetwork, s.region) {
		config.Reject("subnetwork", "must be in the cluster's region, %s", s.region)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	account, role, err := nodeAccount(ctx, s.name)
	if err != nil {
		return err
	}
	cluster, err := container.NewCluster(ctx, s.name, &container.ClusterArgs{
		Name:       pulumi.String(s.name),
		Location:   pulumi.String(s.region),
		Network:    pulumi.String(s.network),
		Subnetwork: pulumi.String(s.subnetwork),
		IpAllocationPolicy: container.ClusterIpAllocationPolicyArgs{
			ClusterSecondaryRangeName:  pulumi.String(s.podRange),
			ServicesSecondaryRangeName: pulumi.String(s.serviceRange),
		},
		PrivateClusterConfig: container.ClusterPrivateClusterConfigArgs{
			EnablePrivateNodes:    pulumi.Bool(true),
			EnablePrivateEndpoint: pulumi.Bool(len(s.apiNetworks) == 0),
		},
		MasterAuthorizedNetworksConfig: allowOnly(s.apiNetworks),
		ControlPlaneEndpointsConfig: container.ClusterControlPlaneEndpointsConfigArgs{
			DnsEndpointConfig: container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs{
				AllowExternalTraffic: pulumi.Bool(s.dnsEndpoint),
			},
		},
		AnonymousAuthenticationConfig: container.ClusterAnonymousAuthenticationConfigArgs{Mode: pulumi.String("LIMITED")},
		// Everyone with a Google account is system:authenticated.
		RbacBindingConfig: container.ClusterRbacBindingConfigArgs{
			EnableInsecureBindingSystemAuthenticated:   pulumi.Bool(false),
			EnableInsecureBindingSystemUnauthenticated: pulumi.Bool(false),
		},
		WorkloadIdentityConfig: container.ClusterWorkloadIdentityConfigArgs{WorkloadPool: pulumi.Sprintf("%s.svc.id.goog", account.Project)},
		// Of the two network plugins, this one enforces network policies.
		DatapathProvider:    pulumi.String("ADVANCED_DATAPATH"),
		DatabaseEncryption:  encryption(s.key),
		BinaryAuthorization: container.ClusterBinaryAuthorizationArgs{EvaluationMode: pulumi.String(s.admission)},
		ReleaseChannel:      container.ClusterReleaseChannelArgs{Channel: pulumi.String(s.channel)},
		MaintenancePolicy: container.ClusterMaintenancePolicyArgs{
			DailyMaintenanceWindow: container.ClusterMaintenancePolicyDailyMaintenanceWindowArgs{
				StartTime: pulumi.String(fmt.Sprintf("%02d:00", s.maintenanceHour)),
			},
		},
		// GKE creates no cluster without a pool, which is removed at once.
		RemoveDefaultNodePool: pulumi.Bool(true),
		InitialNodeCount:      pulumi.Int(1),
		NodeConfig: container.ClusterNodeConfigArgs{
			ServiceAccount:         account.Email,
			OauthScopes:            pulumi.ToStringArray([]string{"https://www.googleapis.com/auth/cloud-platform"}),
			ShieldedInstanceConfig: container.ClusterNodeConfigShieldedInstanceConfigArgs{EnableSecureBoot: pulumi.Bool(true)},
		},
		DeletionProtection: pulumi.Bool(s.protect),
		ResourceLabels:     s.labels.Map(),
	},
		pulumi.DependsOn([]pulumi.Resource{role}),
		// Once the first pool is gone, GKE reports the nodes of another one here,
		// and the provider would replace the cluster for the difference.
		pulumi.IgnoreChanges([]string{"nodeConfig", "initialNodeCount"}))
	if err != nil {
		return err
	}

	ctx.Export("cluster", cluster.ID())
	ctx.Export("endpoint", cluster.Endpoint)
	ctx.Export("dnsEndpoint", cluster.ControlPlaneEndpointsConfig.DnsEndpointConfig().Endpoint())
	ctx.Export("caCertificate", cluster.MasterAuth.ClusterCaCertificate())
	ctx.Export("workloadPool", cluster.WorkloadIdentityConfig.WorkloadPool())
	ctx.Export("nodeServiceAccount", account.Email)
	return nil
}

// nodeAccount may do no more than nodes need. By default they would run as the
// Compute Engine account, which in many projects may edit everything.
func nodeAccount(ctx *pulumi.Context, name string) (*serviceaccount.Account, pulumi.Resource, error) {
	account, err := serviceaccount.NewAccount(ctx, name, &serviceaccount.AccountArgs{
		AccountId:   pulumi.String(name),
		DisplayName: pulumi.String("Nodes of the GKE cluster " + name),
	})
	if err != nil {
		return nil, nil, err
	}
	role, err := projects.NewIAMMember(ctx, name, &projects.IAMMemberArgs{
		Project: account.Project,
		Role:    pulumi.String("roles/container.defaultNodeServiceAccount"),
		Member:  account.Member,
	})
	return account, role, err
}

// allowOnly lets the named networks reach the Kubernetes API. The addresses of other
// customers' machines are not among them unless named.
func allowOnly(networks []string) container.ClusterMasterAuthorizedNetworksConfigArgs {
	blocks := container.ClusterMasterAuthorizedNetworksConfigCidrBlockArray{}
	for _, network := range networks {
		blocks = append(blocks, container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs{CidrBlock: pulumi.String(network)})
	}
	return container.ClusterMasterAuthorizedNetworksConfigArgs{
		CidrBlocks:                  blocks,
		GcpPublicCidrsAccessEnabled: pulumi.Bool(false),
	}
}

func encryption(key string) container.ClusterDatabaseEncryptionArgs {
	if key == "" {
		return container.ClusterDatabaseEncryptionArgs{State: pulumi.String("DECRYPTED")}
	}
	return container.ClusterDatabaseEncryptionArgs{State: pulumi.String("ENCRYPTED"), KeyName: pulumi.String(key)}
}
