// A private, versioned Cloud Storage bucket.
//
// Access is by IAM alone, and public access is refused even if somebody grants
// it later.
package main

import (
	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var location = component.NewFormat(`[A-Z]+|[A-Z]+-[A-Z]+[0-9]+`, "a location in upper case, such as EU or EUROPE-WEST1")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name    = config.Text("name", "start of the bucket's name; a random suffix follows, as bucket names are shared by all customers", config.DefaultName(), component.NamePrefix)
		where   = config.Text("location", "multi-region or region, in upper case", "EU", location)
		class   = config.OneOf("storageClass", "how new objects are stored", "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
		key     = config.Text("kmsKey", "KMS key to encrypt with, `projects/…/cryptoKeys/…`", "", formats.KMSKey.OrUnset())
		keep    = config.Int("oldVersionsDays", "how long overwritten and deleted objects are kept", 30, 1, 3650)
		undo    = config.Int("softDeleteDays", "how long a removal can be undone", 7, 7, 90)
		readers = config.List("readers", "members that may read, such as `group:team@example.com`", formats.Member)
		labels  = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	args := &storage.BucketArgs{
		Location:                 pulumi.String(where),
		StorageClass:             pulumi.String(class),
		UniformBucketLevelAccess: pulumi.Bool(true),
		PublicAccessPrevention:   pulumi.String("enforced"),
		Versioning:               storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)},
		SoftDeletePolicy:         storage.BucketSoftDeletePolicyArgs{RetentionDurationSeconds: pulumi.Int(undo * component.Day)},
		LifecycleRules: storage.BucketLifecycleRuleArray{
			rule("Delete", storage.BucketLifecycleRuleConditionArgs{DaysSinceNoncurrentTime: pulumi.Int(keep)}),
			rule("AbortIncompleteMultipartUpload", storage.BucketLifecycleRuleConditionArgs{Age: pulumi.Int(7)}),
		},
		Labels: labels.Map(),
	}
	if key != "" {
		args.Encryption = storage.BucketEncryptionArgs{DefaultKmsKeyName: pulumi.String(key)}
	}
	bucket, err := storage.NewBucket(ctx, name, args)
	if err != nil {
		return err
	}
	for _, reader := range readers {
		if _, err := storage.NewBucketIAMMember(ctx, name+"-"+reader, &storage.BucketIAMMemberArgs{
			Bucket: bucket.Name,
			Role:   pulumi.String("roles/storage.objectViewer"),
			Member: pulumi.String(reader),
		}); err != nil {
			return err
		}
	}

	ctx.Export("bucket", bucket.Name)
	ctx.Export("url", bucket.Url)
	return nil
}

func rule(action string, condition storage.BucketLifecycleRuleConditionArgs) storage.BucketLifecycleRuleArgs {
	return storage.BucketLifecycleRuleArgs{
		Action:    storage.BucketLifecycleRuleActionArgs{Type: pulumi.String(action)},
		Condition: condition,
	}
}
