// A private Aurora cluster.
//
// Its instances scale with the load, and one in another zone takes over from
// the writer. RDS makes the password and keeps it in Secrets Manager: neither
// a stack's configuration nor its state ever has it.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/rds"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/awscommon"
	"example.com/iac-catalog/aws/internal/database"
	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// serverless instances scale, all others have the size of their class.
const serverless = "db.serverless"

var (
	instanceClass = component.NewFormat(`db\.(serverless|[a-z0-9-]+\.[a-z0-9]+)`, "db.serverless or a class of instance such as db.r8g.large")

	// engines differ in their ports, logs, and how they are made to refuse
	// connections without TLS.
	engines = map[string]engine{
		"aurora-postgresql": {version: "17", port: 5432, tls: "rds.force_ssl", on: "1", log: "postgresql"},
		"aurora-mysql":      {version: "8.0", port: 3306, tls: "require_secure_transport", on: "ON", log: "error"},
	}
)

type engine struct {
	version, tls, on, log string
	port                  int
}

// settings is one validated configuration.
type settings struct {
	name, engine, version, class, database, user, vpcID, key string
	subnets, clients                                         []string
	instances, least, most, backups                          int
	protect                                                  bool
	labels                                                   component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	name := config.Text("name", "start of the cluster's name; a random suffix follows", config.DefaultName(), formats.Name)
	engine := config.OneOf("engine", "database engine", "aurora-postgresql", "aurora-mysql")
	major := engines[engine].version
	s := settings{
		name:      name,
		engine:    engine,
		version:   config.Text("engineVersion", "major version; RDS installs minor ones by itself", major, database.Version("17 or 8.0")),
		vpcID:     config.Text("vpcId", "the VPC it is in", "", formats.VPC),
		subnets:   formats.Subnets(config, "private subnets of that VPC"),
		clients:   formats.Clients(config),
		instances: config.Int("instances", "number of instances: a writer, and readers that can take over", 2, 1, 16),
		class:     config.Text("instanceClass", "size of the instances", serverless, instanceClass),
		least:     config.Int("minCapacity", "least capacity of a `db.serverless` instance, in units of 2 GiB of memory; with 0 it pauses when nobody is connected", 1, 0, 256),
		most:      config.Int("maxCapacity", "highest capacity of a `db.serverless` instance", 8, 1, 256),
		database:  config.Text("database", "a database to create", "app", database.Identifier),
		user:      config.Text("adminUser", "name of the administrator", "dbadmin", database.Identifier),
		backups:   config.Int("backupDays", "how far back the cluster can be restored", 14, 1, 35),
		key:       config.Text("kmsKey", "ARN of the KMS key to encrypt with", "", formats.KMSKey),
		protect:   config.Bool("deletionProtection", "refuse to delete the cluster", true),
		labels:    config.Labels(),
	}
	database.CheckVersion(config, engine, s.version, major)
	database.CheckName(config, name)
	if s.most < s.least {
		config.Reject("maxCapacity", "must not be lower than minCapacity, which is %d", s.least)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	group, err := database.Admit(ctx, s.name, s.vpcID, engines[s.engine].port, s.labels, s.clients)
	if err != nil {
		return err
	}
	cluster, err := newCluster(ctx, s, group)
	if err != nil {
		return err
	}
	if err := addInstances(ctx, s, cluster); err != nil {
		return err
	}

	ctx.Export("cluster", cluster.ClusterIdentifier)
	ctx.Export("endpoint", cluster.Endpoint)
	ctx.Export("readerEndpoint", cluster.ReaderEndpoint)
	ctx.Export("port", cluster.Port)
	ctx.Export("database", cluster.DatabaseName)
	ctx.Export("passwordSecretArn", cluster.MasterUserSecrets.Index(pulumi.Int(0)).SecretArn())
	ctx.Export("securityGroupId", group.ID())
	return nil
}

func newCluster(ctx *pulumi.Context, s settings, group *ec2.SecurityGroup) (*rds.Cluster, error) {
	engine := engines[s.engine]
	subnets, err := rds.NewSubnetGroup(ctx, s.name, &rds.SubnetGroupArgs{
		SubnetIds: pulumi.ToStringArray(s.subnets),
		Tags:      s.labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	parameters, err := rds.NewClusterParameterGroup(ctx, s.name, &rds.ClusterParameterGroupArgs{
		Family: pulumi.String(s.engine + s.version),
		Parameters: rds.ClusterParameterGroupParameterArray{rds.ClusterParameterGroupParameterArgs{
			Name:  pulumi.String(engine.tls),
			Value: pulumi.String(engine.on),
		}},
		Tags: s.labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	args := &rds.ClusterArgs{
		Engine:                           pulumi.String(s.engine),
		EngineVersion:                    pulumi.String(s.version),
		DbClusterParameterGroupName:      parameters.Name,
		DatabaseName:                     pulumi.String(s.database),
		MasterUsername:                   pulumi.String(s.user),
		ManageMasterUserPassword:         pulumi.Bool(true),
		IamDatabaseAuthenticationEnabled: pulumi.Bool(true),
		DbSubnetGroupName:                subnets.Name,
		VpcSecurityGroupIds:              pulumi.StringArray{group.ID()},
		StorageEncrypted:                 pulumi.Bool(true),
		KmsKeyId:                         component.Optional(s.key),
		BackupRetentionPeriod:            pulumi.Int(s.backups),
		DeletionProtection:               pulumi.Bool(s.protect),
		SkipFinalSnapshot:                pulumi.Bool(false),
		FinalSnapshotIdentifier:          pulumi.String(s.name + "-final"),
		CopyTagsToSnapshot:               pulumi.Bool(true),
		EnabledCloudwatchLogsExports:     pulumi.ToStringArray([]string{engine.log}),
		Tags:                             s.labels.Map(),
	}
	if s.class == serverless {
		args.Serverlessv2ScalingConfiguration = rds.ClusterServerlessv2ScalingConfigurationArgs{
			MinCapacity: pulumi.Float64(s.least),
			MaxCapacity: pulumi.Float64(s.most),
		}
	}
	return rds.NewCluster(ctx, s.name, args)
}

func addInstances(ctx *pulumi.Context, s settings, cluster *rds.Cluster) error {
	monitor, ready, err := awscommon.ServiceRole(ctx, s.name+"-monitor", "monitoring.rds.amazonaws.com", s.labels,
		awscommon.ManagedPolicies+"service-role/AmazonRDSEnhancedMonitoringRole")
	if err != nil {
		return err
	}
	for number := range s.instances {
		if _, err := rds.NewClusterInstance(ctx, fmt.Sprintf("%s-%d", s.name, number), &rds.ClusterInstanceArgs{
			ClusterIdentifier: cluster.ID(),
			Engine:            rds.EngineType(s.engine),
			InstanceClass:     pulumi.String(s.class),
			// Readers of this tier are as large as the writer at any time, and
			// so can take over.
			PromotionTier:              pulumi.Int(1),
			PubliclyAccessible:         pulumi.Bool(false),
			CopyTagsToSnapshot:         pulumi.Bool(true),
			PerformanceInsightsEnabled: pulumi.Bool(true),
			MonitoringInterval:         pulumi.Int(60),
			MonitoringRoleArn:          monitor.Arn,
			Tags:                       s.labels.Map(),
		}, ready); err != nil {
			return err
		}
	}
	return nil
}
