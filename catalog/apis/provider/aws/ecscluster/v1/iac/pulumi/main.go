// An ECS cluster on Fargate, with insights and recorded sessions.
//
// There are no instances to patch. Whoever opens a session in a container
// leaves a record of it.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/servicediscovery"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "name of the cluster and its namespace", config.DefaultName(), component.DNSLabel)
		spot     = config.Int("spotPercent", "share of the tasks that run on spare capacity, which AWS can take back", 0, 0, 100)
		insights = config.OneOf("insights", "what Container Insights measures: `enhanced` every task, `enabled` services", "enhanced", "enabled", "disabled")
		key      = config.Text("kmsKey", "ARN of the KMS key to encrypt sessions, their records and the tasks' disks with", "", formats.KMSKey)
		logDays  = formats.LogDays(config)
		labels   = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	records, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/aws/ecs/" + name + "/sessions"),
		KmsKeyId:        component.Optional(key),
		RetentionInDays: pulumi.Int(logDays),
		Tags:            labels.Map(),
	})
	if err != nil {
		return err
	}
	namespace, err := servicediscovery.NewHttpNamespace(ctx, name, &servicediscovery.HttpNamespaceArgs{
		Name: pulumi.String(name),
		Tags: labels.Map(),
	})
	if err != nil {
		return err
	}
	cluster, err := ecs.NewCluster(ctx, name, &ecs.ClusterArgs{
		Name:                   pulumi.String(name),
		Configuration:          protect(key, records),
		ServiceConnectDefaults: ecs.ClusterServiceConnectDefaultsArgs{Namespace: namespace.Arn},
		Settings: ecs.ClusterSettingArray{ecs.ClusterSettingArgs{
			Name:  pulumi.String("containerInsights"),
			Value: pulumi.String(insights),
		}},
		Tags: labels.Map(),
	})
	if err != nil {
		return err
	}
	if err := placeTasks(ctx, name, cluster, spot); err != nil {
		return err
	}

	ctx.Export("cluster", cluster.Name)
	ctx.Export("arn", cluster.Arn)
	ctx.Export("namespaceArn", namespace.Arn)
	ctx.Export("sessionLogGroup", records.Name)
	return nil
}

// protect records sessions, and encrypts with the key, if there is one, what
// AWS would encrypt with its own.
func protect(key string, records *cloudwatch.LogGroup) ecs.ClusterConfigurationArgs {
	args := ecs.ClusterConfigurationArgs{
		ExecuteCommandConfiguration: ecs.ClusterConfigurationExecuteCommandConfigurationArgs{
			KmsKeyId: component.Optional(key),
			Logging:  pulumi.String("OVERRIDE"),
			LogConfiguration: ecs.ClusterConfigurationExecuteCommandConfigurationLogConfigurationArgs{
				CloudWatchLogGroupName: records.Name,
				// ECS then refuses a session whose record would not be encrypted
				// with a KMS key.
				CloudWatchEncryptionEnabled: pulumi.Bool(key != ""),
			},
		},
	}
	if key != "" {
		args.ManagedStorageConfiguration = ecs.ClusterConfigurationManagedStorageConfigurationArgs{
			FargateEphemeralStorageKmsKeyId: pulumi.String(key),
		}
	}
	return args
}

// placeTasks is for services that do not say themselves where they run. Each
// has at least one task that AWS does not take back.
func placeTasks(ctx *pulumi.Context, name string, cluster *ecs.Cluster, spotPercent int) error {
	_, err := ecs.NewClusterCapacityProviders(ctx, name, &ecs.ClusterCapacityProvidersArgs{
		ClusterName:       cluster.Name,
		CapacityProviders: pulumi.ToStringArray([]string{"FARGATE", "FARGATE_SPOT"}),
		DefaultCapacityProviderStrategies: ecs.ClusterCapacityProvidersDefaultCapacityProviderStrategyArray{
			ecs.ClusterCapacityProvidersDefaultCapacityProviderStrategyArgs{
				CapacityProvider: pulumi.String("FARGATE"),
				Base:             pulumi.Int(1),
				Weight:           pulumi.Int(100 - spotPercent),
			},
			ecs.ClusterCapacityProvidersDefaultCapacityProviderStrategyArgs{
				CapacityProvider: pulumi.String("FARGATE_SPOT"),
				Weight:           pulumi.Int(spotPercent),
			},
		},
	})
	return err
}
