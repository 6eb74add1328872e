// An EKS cluster with a private API.
//
// Who administers it is named: whoever creates a cluster would otherwise be its
// administrator for good, without being listed anywhere.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var principal = component.NewFormat(`arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/\S+`, "the ARN of an IAM role or user")

// settings is one validated configuration.
type settings struct {
	name, version, key           string
	subnets, apiNetworks, admins []string
	coreDNS                      bool
	logDays                      int
	labels                       component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "the cluster's name", config.DefaultName(), formats.Name),
		version:     config.Text("kubernetesVersion", "Kubernetes version; without one, the newest at the time of creation", "", formats.KubernetesVersion),
		subnets:     formats.Subnets(config, "private subnets through which control plane and nodes talk"),
		admins:      config.List("admins", "roles and users that administer the cluster; at least one", principal),
		apiNetworks: config.CIDRs("apiNetworks", "networks that reach the Kubernetes API from outside the VPC"),
		key:         config.Text("kmsKey", "ARN of the KMS key to encrypt Secrets with; it cannot be taken back", "", formats.KMSKey),
		coreDNS:     config.Bool("coreDnsAddon", "let EKS manage CoreDNS; only once there are nodes for it to run on", false),
		logDays:     formats.LogDays(config),
		labels:      config.Labels(),
	}
	if len(s.admins) == 0 {
		config.Reject("admins", "is empty: nobody could use the cluster")
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	role, ready, err := awscommon.ServiceRole(ctx, s.name, "eks.amazonaws.com", s.labels, awscommon.ManagedPolicies+"AmazonEKSClusterPolicy")
	if err != nil {
		return err
	}
	// EKS would make this group itself, and keep the logs forever.
	logs, err := cloudwatch.NewLogGroup(ctx, s.name, &cloudwatch.LogGroupArgs{
		Name:            pulumi.Sprintf("/aws/eks/%s/cluster", s.name),
		RetentionInDays: pulumi.Int(s.logDays),
		Tags:            s.labels.Map(),
	})
	if err != nil {
		return err
	}
	args := &eks.ClusterArgs{
		Name:      pulumi.String(s.name),
		Version:   component.Optional(s.version),
		RoleArn:   role.Arn,
		VpcConfig: vpcConfig(s),
		AccessConfig: eks.ClusterAccessConfigArgs{
			AuthenticationMode:                      pulumi.String("API"),
			BootstrapClusterCreatorAdminPermissions: pulumi.Bool(false),
		},
		// A version beyond its standard support costs six times as much: EKS
		// rather upgrades the cluster.
		UpgradePolicy:          eks.ClusterUpgradePolicyArgs{SupportType: pulumi.String("STANDARD")},
		EnabledClusterLogTypes: pulumi.ToStringArray([]string{"api", "audit", "authenticator"}),
		Tags:                   s.labels.Map(),
	}
	if s.key != "" {
		args.EncryptionConfig = eks.ClusterEncryptionConfigArgs{
			Provider:  eks.ClusterEncryptionConfigProviderArgs{KeyArn: pulumi.String(s.key)},
			Resources: pulumi.ToStringArray([]string{"secrets"}),
		}
	}
	cluster, err := eks.NewCluster(ctx, s.name, args, ready, pulumi.DependsOn([]pulumi.Resource{logs}))
	if err != nil {
		return err
	}
	if err := admit(ctx, cluster, s.admins, s.labels); err != nil {
		return err
	}
	if err := install(ctx, cluster, s); err != nil {
		return err
	}

	ctx.Export("clusterName", cluster.Name)
	ctx.Export("endpoint", cluster.Endpoint)
	ctx.Export("certificateAuthority", cluster.CertificateAuthority.Data())
	ctx.Export("securityGroupId", cluster.VpcConfig.ClusterSecurityGroupId())
	return nil
}

// vpcConfig has the API answer inside the VPC, and outside of it only to the
// named networks.
func vpcConfig(s settings) eks.ClusterVpcConfigArgs {
	config := eks.ClusterVpcConfigArgs{
		SubnetIds:             pulumi.ToStringArray(s.subnets),
		EndpointPrivateAccess: pulumi.Bool(true),
		EndpointPublicAccess:  pulumi.Bool(len(s.apiNetworks) > 0),
	}
	if len(s.apiNetworks) > 0 {
		config.PublicAccessCidrs = pulumi.ToStringArray(s.apiNetworks)
	}
	return config
}

func admit(ctx *pulumi.Context, cluster *eks.Cluster, admins []string, labels component.Labels) error {
	for _, admin := range admins {
		entry, err := eks.NewAccessEntry(ctx, admin, &eks.AccessEntryArgs{
			ClusterName:  cluster.Name,
			PrincipalArn: pulumi.String(admin),
			Tags:         labels.Map(),
		})
		if err != nil {
			return err
		}
		if _, err := eks.NewAccessPolicyAssociation(ctx, admin, &eks.AccessPolicyAssociationArgs{
			ClusterName:  cluster.Name,
			PrincipalArn: entry.PrincipalArn,
			PolicyArn:    pulumi.String("arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"),
			AccessScope:  eks.AccessPolicyAssociationAccessScopeArgs{Type: pulumi.String("cluster")},
		}); err != nil {
			return err
		}
	}
	return nil
}

// install lets EKS manage what every cluster starts with, and adds the agent
// that gives pods their roles. EKS fails where the pods of an add-on find no
// node; all but CoreDNS run on each node and thus need none.
func install(ctx *pulumi.Context, cluster *eks.Cluster, s settings) error {
	type addon struct{ name, values string }
	addons := []addon{
		{name: "vpc-cni", values: `{"enableNetworkPolicy":"true"}`},
		{name: "kube-proxy"},
		{name: "eks-pod-identity-agent"},
	}
	if s.coreDNS {
		addons = append(addons, addon{name: "coredns"})
	}
	for _, addon := range addons {
		if _, err := eks.NewAddon(ctx, s.name+"-"+addon.name, &eks.AddonArgs{
			ClusterName:              cluster.Name,
			AddonName:                pulumi.String(addon.name),
			ConfigurationValues:      component.Optional(addon.values),
			ResolveConflictsOnCreate: pulumi.String("OVERWRITE"),
			ResolveConflictsOnUpdate: pulumi.String("OVERWRITE"),
			Tags:                     s.labels.Map(),
		}); err != nil {
			return err
		}
	}
	return nil
}
