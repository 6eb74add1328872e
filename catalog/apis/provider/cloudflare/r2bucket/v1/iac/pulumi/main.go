// A private R2 bucket with lifecycle and lock rules.
package main

import (
	"github.com/pulumi/pulumi-cloudflare/sdk/v6/go/cloudflare"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	accountID  = component.NewFormat(`[0-9a-f]{32}`, "an account ID of 32 hexadecimal digits")
	bucketName = component.NewFormat(`[a-z0-9][a-z0-9-]{1,61}[a-z0-9]`, "3 to 63 lowercase letters, digits and inner hyphens")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		account      = pulumi.String(config.Text("accountId", "the account's ID, 32 hexadecimal digits", "", accountID))
		name         = config.Text("name", "the bucket's name, unique in the account", config.DefaultName(), bucketName)
		location     = config.OneOf("location", "where to put it", "weur", "eeur", "enam", "wnam", "apac", "oc")
		jurisdiction = pulumi.String(config.OneOf("jurisdiction", "where the data may be", "default", "eu", "fedramp"))
		class        = config.OneOf("storageClass", "how new objects are stored", "Standard", "InfrequentAccess")
		lock         = config.Int("lockDays", "for how long objects can be neither changed nor deleted; 0 for not at all", 0, 0, 3650)
		expire       = config.Int("expireDays", "after how long objects are deleted; 0 for never", 0, 0, 3650)
	)
	if 0 < expire && expire < lock {
		config.Reject("expireDays", "objects are locked for %d days and cannot expire after %d", lock, expire)
	}
	if err := config.Err(); err != nil {
		return err
	}

	bucket, err := cloudflare.NewR2Bucket(ctx, name, &cloudflare.R2BucketArgs{
		AccountId:    account,
		Name:         pulumi.String(name),
		Location:     pulumi.String(location),
		Jurisdiction: jurisdiction,
		StorageClass: pulumi.String(class),
	})
	if err != nil {
		return err
	}
	// Said outright, so that switching the public address on by hand shows up
	// as drift.
	if _, err := cloudflare.NewR2ManagedDomain(ctx, name, &cloudflare.R2ManagedDomainArgs{
		AccountId:    account,
		BucketName:   bucket.Name,
		Jurisdiction: jurisdiction,
		Enabled:      pulumi.Bool(false),
	}); err != nil {
		return err
	}
	if _, err := cloudflare.NewR2BucketLifecycle(ctx, name, &cloudflare.R2BucketLifecycleArgs{
		AccountId:    account,
		BucketName:   bucket.Name,
		Jurisdiction: jurisdiction,
		Rules:        lifecycle(expire),
	}); err != nil {
		return err
	}
	if lock > 0 {
		if _, err := cloudflare.NewR2BucketLock(ctx, name, &cloudflare.R2BucketLockArgs{
			AccountId:    account,
			BucketName:   bucket.Name,
			Jurisdiction: jurisdiction,
			Rules: cloudflare.R2BucketLockRuleArray{cloudflare.R2BucketLockRuleArgs{
				Id:      pulumi.String("lock-all"),
				Enabled: pulumi.Bool(true),
				Condition: cloudflare.R2BucketLockRuleConditionArgs{
					Type:          pulumi.String("Age"),
					MaxAgeSeconds: pulumi.Int(lock * component.Day),
				},
			}},
		}); err != nil {
			return err
		}
	}

	ctx.Export("bucket", bucket.Name)
	ctx.Export("s3Endpoint", pulumi.Sprintf("https://%s.r2.cloudflarestorage.com", account))
	return nil
}

// lifecycle removes uploads that were never finished and, if asked for, old
// objects.
func lifecycle(expireDays int) cloudflare.R2BucketLifecycleRuleArray {
	everything := cloudflare.R2BucketLifecycleRuleConditionsArgs{Prefix: pulumi.String("")}
	rules := cloudflare.R2BucketLifecycleRuleArray{cloudflare.R2BucketLifecycleRuleArgs{
		Id:         pulumi.String("abort-uploads"),
		Enabled:    pulumi.Bool(true),
		Conditions: everything,
		AbortMultipartUploadsTransition: cloudflare.R2BucketLifecycleRuleAbortMultipartUploadsTransitionArgs{
			Condition: cloudflare.R2BucketLifecycleRuleAbortMultipartUploadsTransitionConditionArgs{
				Type:   pulumi.String("Age"),
				MaxAge: pulumi.Int(7 * component.Day),
			},
		},
	}}
	if expireDays == 0 {
		return rules
	}
	return append(rules, cloudflare.R2BucketLifecycleRuleArgs{
		Id:         pulumi.String("expire"),
		Enabled:    pulumi.Bool(true),
		Conditions: everything,
		DeleteObjectsTransition: cloudflare.R2BucketLifecycleRuleDeleteObjectsTransitionArgs{
			Condition: cloudflare.R2BucketLifecycleRuleDeleteObjectsTransitionConditionArgs{
				Type:   pulumi.String("Age"),
				MaxAge: pulumi.Int(expireDays * component.Day),
			},
		},
	})
}
