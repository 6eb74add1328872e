// A private RDS database with a standby in another zone.
//
// RDS makes the password, keeps it in Secrets Manager and changes it every
// week: neither a stack's configuration nor its state ever has it.
package main

import (
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

var (
	instanceClass = component.NewFormat(`db\.[a-z0-9-]+\.[a-z0-9]+`, "a class of instance such as db.t4g.medium")

	// engines differ in their ports, logs, and how they are made to refuse
	// connections without TLS.
	engines = map[string]engine{
		"postgres": {version: "17", port: 5432, tls: "rds.force_ssl", on: "1", logs: []string{"postgresql", "upgrade"}},
		"mysql":    {version: "8.4", port: 3306, tls: "require_secure_transport", on: "ON", logs: []string{"error"}},
		"mariadb":  {version: "11.4", port: 3306, tls: "require_secure_transport", on: "ON", logs: []string{"error"}},
	}
)

type engine struct {
	version, tls, on string
	port             int
	logs             []string
}

// settings is one validated configuration.
type settings struct {
	name, engine, version, class, database, user, vpcID, key string
	subnets, clients                                         []string
	storage, most, backups                                   int
	standby, protect                                         bool
	labels                                                   component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	name := config.Text("name", "start of the database's name; a random suffix follows", config.DefaultName(), formats.Name)
	engine := config.OneOf("engine", "database engine", "postgres", "mysql", "mariadb")
	major := engines[engine].version
	s := settings{
		name:     name,
		engine:   engine,
		version:  config.Text("engineVersion", "major version; RDS installs minor ones by itself", major, database.Version("17 or 8.4")),
		vpcID:    config.Text("vpcId", "the VPC it is in", "", formats.VPC),
		subnets:  formats.Subnets(config, "private subnets of that VPC"),
		clients:  formats.Clients(config),
		class:    config.Text("instanceClass", "size of the instance and of the standby", "db.t4g.medium", instanceClass),
		storage:  config.Int("storageGB", "size of the storage", 20, 20, 65536),
		most:     config.Int("maxStorageGB", "up to which size the storage grows when it is nearly full", 100, 22, 65536),
		database: config.Text("database", "a database to create", "app", database.Identifier),
		user:     config.Text("adminUser", "name of the administrator", "dbadmin", database.Identifier),
		standby:  config.Bool("multiAz", "keep a standby in another zone", true),
		backups:  config.Int("backupDays", "how far back the database can be restored", 14, 1, 35),
		key:      config.Text("kmsKey", "ARN of the KMS key to encrypt with", "", formats.KMSKey),
		protect:  config.Bool("deletionProtection", "refuse to delete the database", true),
		labels:   config.Labels(),
	}
	database.CheckVersion(config, engine, s.version, major)
	database.CheckName(config, name)
	if s.most*10 < s.storage*11 {
		config.Reject("maxStorageGB", "must exceed storageGB, which is %d, by a tenth at least", s.storage)
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
	instance, err := newInstance(ctx, s, group)
	if err != nil {
		return err
	}

	ctx.Export("instance", instance.Identifier)
	ctx.Export("address", instance.Address)
	ctx.Export("port", instance.Port)
	ctx.Export("database", instance.DbName)
	ctx.Export("passwordSecretArn", instance.MasterUserSecrets.Index(pulumi.Int(0)).SecretArn())
	ctx.Export("securityGroupId", group.ID())
	return nil
}

func newInstance(ctx *pulumi.Context, s settings, group *ec2.SecurityGroup) (*rds.Instance, error) {
	engine := engines[s.engine]
	subnets, err := rds.NewSubnetGroup(ctx, s.name, &rds.SubnetGroupArgs{
		SubnetIds: pulumi.ToStringArray(s.subnets),
		Tags:      s.labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	parameters, err := rds.NewParameterGroup(ctx, s.name, &rds.ParameterGroupArgs{
		Family: pulumi.String(s.engine + s.version),
		Parameters: rds.ParameterGroupParameterArray{rds.ParameterGroupParameterArgs{
			Name:  pulumi.String(engine.tls),
			Value: pulumi.String(engine.on),
		}},
		Tags: s.labels.Map(),
	})
	if err != nil {
		return nil, err
	}
	monitor, ready, err := awscommon.ServiceRole(ctx, s.name+"-monitor", "monitoring.rds.amazonaws.com", s.labels,
		awscommon.ManagedPolicies+"service-role/AmazonRDSEnhancedMonitoringRole")
	if err != nil {
		return nil, err
	}
	return rds.NewInstance(ctx, s.name, &rds.InstanceArgs{
		Engine:                           pulumi.String(s.engine),
		EngineVersion:                    pulumi.String(s.version),
		InstanceClass:                    pulumi.String(s.class),
		ParameterGroupName:               parameters.Name,
		MultiAz:                          pulumi.Bool(s.standby),
		DbName:                           pulumi.String(s.database),
		Username:                         pulumi.String(s.user),
		ManageMasterUserPassword:         pulumi.Bool(true),
		IamDatabaseAuthenticationEnabled: pulumi.Bool(true),
		DbSubnetGroupName:                subnets.Name,
		VpcSecurityGroupIds:              pulumi.StringArray{group.ID()},
		PubliclyAccessible:               pulumi.Bool(false),
		StorageType:                      pulumi.String("gp3"),
		AllocatedStorage:                 pulumi.Int(s.storage),
		MaxAllocatedStorage:              pulumi.Int(s.most),
		StorageEncrypted:                 pulumi.Bool(true),
		KmsKeyId:                         component.Optional(s.key),
		BackupRetentionPeriod:            pulumi.Int(s.backups),
		DeletionProtection:               pulumi.Bool(s.protect),
		SkipFinalSnapshot:                pulumi.Bool(false),
		FinalSnapshotIdentifier:          pulumi.String(s.name + "-final"),
		CopyTagsToSnapshot:               pulumi.Bool(true),
		PerformanceInsightsEnabled:       pulumi.Bool(true),
		MonitoringInterval:               pulumi.Int(60),
		MonitoringRoleArn:                monitor.Arn,
		EnabledCloudwatchLogsExports:     pulumi.ToStringArray(engine.logs),
		Tags:                             s.labels.Map(),
	}, ready)
}
