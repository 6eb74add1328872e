// A Cloud SQL for PostgreSQL instance without passwords and public address.
//
// Everyone signs in with IAM: whoever loses a role loses the database at once,
// and there is no password to leak or to rotate.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/sql"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	tier     = component.NewFormat(`db-custom-[0-9]+-[0-9]+|db-perf-optimized-N-[0-9]+|db-g1-small|db-f1-micro`, "a tier such as db-custom-2-7680")
	database = component.NewFormat(`[a-z_][a-z0-9_-]{0,62}`, "1 to 63 lowercase letters, digits, hyphens and underscores, not starting with a digit")
	// user is in lower case, as Cloud SQL writes all email addresses.
	user = component.NewFormat(`(user|group|serviceAccount):[^\sA-Z@]+@[^\sA-Z@]+`, "a member in lower case, such as group:team@example.com")

	// kinds are Cloud SQL's words for those of IAM.
	kinds = map[string]string{"user": "CLOUD_IAM_USER", "group": "CLOUD_IAM_GROUP", "serviceAccount": "CLOUD_IAM_SERVICE_ACCOUNT"}

	flags = sql.DatabaseInstanceSettingsDatabaseFlagArray{
		flag("cloudsql.iam_authentication", "on"),
		flag("log_connections", "on"),
		flag("log_disconnections", "on"),
		flag("log_lock_waits", "on"),
		flag("log_statement", "ddl"),
	}
)

// settings is one validated configuration.
type settings struct {
	name, region, network, version, tier, key string
	available, protect                        bool
	diskLimitGB, backups, logDays             int
	databases, users                          []string
	labels                                    component.Labels
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		name:        config.Text("name", "start of the instance's name; a random suffix follows, as the name of a deleted instance stays taken for a week", config.DefaultName(), component.NamePrefix),
		region:      config.Text("region", "where it runs", "europe-west1", formats.Region),
		network:     config.Text("network", "the network it is reached from", "", formats.Network),
		version:     config.OneOf("postgresVersion", "PostgreSQL's version", "17", "16", "15"),
		tier:        config.Text("tier", "size of the instance", "db-custom-2-7680", tier),
		available:   config.Bool("highAvailability", "keep a second instance ready in another zone", true),
		diskLimitGB: config.Int("diskLimitGB", "up to which size the disk grows, from 10 GB", 100, 10, 65536),
		backups:     config.Int("backups", "how many daily backups are kept", 14, 7, 365),
		logDays:     config.Int("recoveryDays", "how far back it can be restored to any moment", 7, 1, 7),
		key:         config.Text("kmsKey", "KMS key to encrypt with", "", formats.KMSKey.OrUnset()),
		databases:   config.List("databases", "databases to create", database),
		users:       config.List("users", "members that may sign in", user),
		protect:     config.Bool("deletionProtection", "refuse to delete the instance", true),
		labels:      config.Labels(),
	}
	if s.available && (s.tier == "db-f1-micro" || s.tier == "db-g1-small") {
		config.Reject("highAvailability", "must be false with the tier %s, which shares its CPU and has no guarantee", s.tier)
	}
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	instance, err := sql.NewDatabaseInstance(ctx, s.name, &sql.DatabaseInstanceArgs{
		Region:             pulumi.String(s.region),
		DatabaseVersion:    pulumi.String("POSTGRES_" + s.version),
		EncryptionKeyName:  component.Optional(s.key),
		DeletionProtection: pulumi.Bool(s.protect),
		Settings:           instanceSettings(s),
	})
	if err != nil {
		return err
	}
	for _, database := range s.databases {
		if _, err := sql.NewDatabase(ctx, database, &sql.DatabaseArgs{
			Instance: instance.Name,
			Name:     pulumi.String(database),
			// What is no longer listed stays until somebody drops it by hand.
			DeletionPolicy: pulumi.String("ABANDON"),
		}); err != nil {
			return err
		}
	}
	for _, user := range s.users {
		if err := admit(ctx, instance, user); err != nil {
			return err
		}
	}

	ctx.Export("instance", instance.Name)
	ctx.Export("connectionName", instance.ConnectionName)
	ctx.Export("privateIpAddress", instance.PrivateIpAddress)
	return nil
}

// instanceSettings have no disk size: the disk grows by itself, and the
// provider would replace an instance whose disk is larger than its settings say.
func instanceSettings(s settings) sql.DatabaseInstanceSettingsArgs {
	return sql.DatabaseInstanceSettingsArgs{
		Tier:                pulumi.String(s.tier),
		Edition:             pulumi.String(edition(s.tier)),
		AvailabilityType:    pulumi.String(availability(s.available)),
		DiskType:            pulumi.String("PD_SSD"),
		DiskAutoresize:      pulumi.Bool(true),
		DiskAutoresizeLimit: pulumi.Int(s.diskLimitGB),
		IpConfiguration: sql.DatabaseInstanceSettingsIpConfigurationArgs{
			Ipv4Enabled:    pulumi.Bool(false),
			PrivateNetwork: pulumi.String(s.network),
			SslMode:        pulumi.String("ENCRYPTED_ONLY"),
		},
		BackupConfiguration: sql.DatabaseInstanceSettingsBackupConfigurationArgs{
			Enabled:                     pulumi.Bool(true),
			PointInTimeRecoveryEnabled:  pulumi.Bool(true),
			TransactionLogRetentionDays: pulumi.Int(s.logDays),
			BackupRetentionSettings: sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs{
				RetainedBackups: pulumi.Int(s.backups),
			},
		},
		FinalBackupConfig:         sql.DatabaseInstanceSettingsFinalBackupConfigArgs{Enabled: pulumi.Bool(true), RetentionDays: pulumi.Int(30)},
		DatabaseFlags:             flags,
		InsightsConfig:            sql.DatabaseInstanceSettingsInsightsConfigArgs{QueryInsightsEnabled: pulumi.Bool(true)},
		MaintenanceWindow:         sql.DatabaseInstanceSettingsMaintenanceWindowArgs{Day: pulumi.Int(7), Hour: pulumi.Int(3), UpdateTrack: pulumi.String("stable")},
		DeletionProtectionEnabled: pulumi.Bool(s.protect),
		UserLabels:                s.labels.Map(),
	}
}

// edition follows from the tier: either edition has tiers of its own.
func edition(tier string) string {
	if strings.HasPrefix(tier, "db-perf-optimized-") {
		return "ENTERPRISE_PLUS"
	}
	return "ENTERPRISE"
}

func availability(high bool) string {
	if high {
		return "REGIONAL"
	}
	return "ZONAL"
}

func flag(name, value string) sql.DatabaseInstanceSettingsDatabaseFlagArgs {
	return sql.DatabaseInstanceSettingsDatabaseFlagArgs{Name: pulumi.String(name), Value: pulumi.String(value)}
}

// admit lets a member of IAM connect and sign in to this instance. Cloud SQL
// has no roles on single instances, so a condition narrows those on the project.
func admit(ctx *pulumi.Context, instance *sql.DatabaseInstance, member string) error {
	kind, email, _ := strings.Cut(member, ":")
	if _, err := sql.NewUser(ctx, member, &sql.UserArgs{
		Instance: instance.Name,
		Type:     pulumi.String(kinds[kind]),
		// PostgreSQL's names are limited to 63 characters; Cloud SQL shortens
		// those of service accounts.
		Name: pulumi.String(strings.TrimSuffix(email, ".gserviceaccount.com")),
	}); err != nil {
		return err
	}
	for _, role := range []string{"roles/cloudsql.client", "roles/cloudsql.instanceUser"} {
		if _, err := projects.NewIAMMember(ctx, member+"-"+role, &projects.IAMMemberArgs{
			Project: instance.Project,
			Role:    pulumi.String(role),
			Member:  pulumi.String(member),
			Condition: projects.IAMMemberConditionArgs{
				Title: pulumi.Sprintf("only %s", instance.Name),
				Expression: pulumi.Sprintf("resource.type == 'sqladmin.googleapis.com/Instance' && resource.name == 'projects/%s/instances/%s'",
					instance.Project, instance.Name),
			},
		}); err != nil {
			return err
		}
	}
	return nil
}
