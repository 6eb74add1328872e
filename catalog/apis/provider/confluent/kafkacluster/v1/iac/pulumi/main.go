// A Confluent Cloud Kafka cluster in an environment of its own.
//
// A program that uses it gets a service account which may read and write the
// topics of one prefix and nothing else.
package main

import (
	"github.com/pulumi/pulumi-confluentcloud/sdk/v2/go/confluentcloud"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	regionName  = component.NewFormat(`[a-z]+(-?[a-z0-9]+)*`, "a region as the cloud spells it, such as eu-west-1")
	topicPrefix = component.NewFormat(`|[a-zA-Z0-9._-]{1,200}`, "up to 200 letters, digits, dots, hyphens and underscores")

	defaultRegion = map[string]string{"AWS": "eu-west-1", "GCP": "europe-west1", "AZURE": "westeurope"}
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name         = config.Text("name", "name of the environment, the cluster and the service account", config.DefaultName(), component.DNSLabel)
		cloud        = config.OneOf("cloud", "the cloud it runs in", "AWS", "GCP", "AZURE")
		region       = config.Text("region", "a region as the cloud spells it", defaultRegion[cloud], regionName)
		kind         = config.OneOf("type", "kind of cluster", "standard", "basic", "dedicated")
		availability = config.OneOf("availability", "in one zone or several; not for `basic`", "SINGLE_ZONE", "MULTI_ZONE")
		units        = config.Int("dedicatedUnits", "CKUs of a dedicated cluster; from 2 on in several zones", 1, 1, 24)
		governance   = config.OneOf("streamGovernance", "package of Stream Governance", "ESSENTIALS", "ADVANCED")
		prefix       = config.Text("topicPrefix", "make a service account for topics and consumer groups that start so; not for `basic`", "", topicPrefix)
	)
	if kind == "basic" && prefix != "" {
		config.Reject("topicPrefix", "a basic cluster cannot restrict access to topics; set type to standard")
	}
	if kind == "basic" && availability == "MULTI_ZONE" {
		config.Reject("availability", "a basic cluster has a single zone; set type to standard")
	}
	if kind == "dedicated" && availability == "MULTI_ZONE" && units < 2 {
		config.Reject("dedicatedUnits", "must be at least 2 in several zones")
	}
	if err := config.Err(); err != nil {
		return err
	}

	environment, err := confluentcloud.NewEnvironment(ctx, name, &confluentcloud.EnvironmentArgs{
		DisplayName:      pulumi.String(name),
		StreamGovernance: confluentcloud.EnvironmentStreamGovernanceArgs{Package: pulumi.String(governance)},
	})
	if err != nil {
		return err
	}
	args := &confluentcloud.KafkaClusterArgs{
		DisplayName:  pulumi.String(name),
		Cloud:        pulumi.String(cloud),
		Region:       pulumi.String(region),
		Availability: pulumi.String(availability),
		Environment:  confluentcloud.KafkaClusterEnvironmentArgs{Id: environment.ID()},
	}
	switch kind {
	case "basic":
		args.Basic = confluentcloud.KafkaClusterBasicArgs{}
	case "standard":
		args.Standard = confluentcloud.KafkaClusterStandardArgs{}
	case "dedicated":
		args.Dedicated = confluentcloud.KafkaClusterDedicatedArgs{Cku: pulumi.Int(units)}
	}
	cluster, err := confluentcloud.NewKafkaCluster(ctx, name, args)
	if err != nil {
		return err
	}
	if prefix != "" {
		account, err := newClient(ctx, name, cluster, prefix)
		if err != nil {
			return err
		}
		ctx.Export("serviceAccountId", account.ID())
	}

	ctx.Export("environmentId", environment.ID())
	ctx.Export("clusterId", cluster.ID())
	ctx.Export("bootstrapEndpoint", cluster.BootstrapEndpoint)
	ctx.Export("restEndpoint", cluster.RestEndpoint)
	return nil
}

// newClient makes a service account for the topics with the prefix, and for
// consumer groups with the same prefix, without which it could not consume.
func newClient(ctx *pulumi.Context, name string, cluster *confluentcloud.KafkaCluster, prefix string) (*confluentcloud.ServiceAccount, error) {
	account, err := confluentcloud.NewServiceAccount(ctx, name, &confluentcloud.ServiceAccountArgs{
		DisplayName: pulumi.String(name),
		Description: pulumi.Sprintf("reads and writes topics %s*", prefix),
	})
	if err != nil {
		return nil, err
	}
	for _, grant := range []struct{ suffix, role, resource string }{
		{"read-topics", "DeveloperRead", "topic"},
		{"write-topics", "DeveloperWrite", "topic"},
		{"read-groups", "DeveloperRead", "group"},
	} {
		if _, err := confluentcloud.NewRoleBinding(ctx, name+"-"+grant.suffix, &confluentcloud.RoleBindingArgs{
			Principal:  pulumi.Sprintf("User:%s", account.ID()),
			RoleName:   pulumi.String(grant.role),
			CrnPattern: pulumi.Sprintf("%s/kafka=%s/%s=%s*", cluster.RbacCrn, cluster.ID(), grant.resource, prefix),
		}); err != nil {
			return nil, err
		}
	}
	return account, nil
}
