// A private, encrypted and versioned S3 bucket.
//
// S3 is configured by one resource for each concern. Those that keep the
// bucket closed are not configurable.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/s3"
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
		name    = config.Text("name", "start of the bucket's name; a random suffix follows, as bucket names are shared by all customers", config.DefaultName(), component.NamePrefix)
		key     = config.Text("kmsKey", "ARN of the KMS key to encrypt with", "", formats.KMSKey)
		keep    = config.Int("oldVersionsDays", "how long overwritten and deleted objects are kept", 30, 1, 3650)
		destroy = config.Bool("destroyContents", "let `pulumi destroy` delete a bucket that holds objects", false)
		labels  = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	bucket, err := s3.NewBucket(ctx, name, &s3.BucketArgs{
		ForceDestroy: pulumi.Bool(destroy),
		Tags:         labels.Map(),
	})
	if err != nil {
		return err
	}
	closed, err := closeBucket(ctx, name, bucket)
	if err != nil {
		return err
	}
	// S3 refuses a bucket's policy while its public access block changes.
	if err := requireTLS(ctx, name, bucket, pulumi.DependsOn([]pulumi.Resource{closed})); err != nil {
		return err
	}
	if err := encrypt(ctx, name, bucket, key); err != nil {
		return err
	}
	if err := keepVersions(ctx, name, bucket, keep); err != nil {
		return err
	}

	ctx.Export("bucket", bucket.Bucket)
	ctx.Export("arn", bucket.Arn)
	ctx.Export("domainName", bucket.BucketRegionalDomainName)
	return nil
}

// closeBucket keeps everyone outside the account out, whatever a policy or an
// object's ACL says.
func closeBucket(ctx *pulumi.Context, name string, bucket *s3.Bucket) (pulumi.Resource, error) {
	if _, err := s3.NewBucketOwnershipControls(ctx, name, &s3.BucketOwnershipControlsArgs{
		Bucket: bucket.ID(),
		Rule:   s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}); err != nil {
		return nil, err
	}
	return s3.NewBucketPublicAccessBlock(ctx, name, &s3.BucketPublicAccessBlockArgs{
		Bucket:                bucket.ID(),
		BlockPublicAcls:       pulumi.Bool(true),
		BlockPublicPolicy:     pulumi.Bool(true),
		IgnorePublicAcls:      pulumi.Bool(true),
		RestrictPublicBuckets: pulumi.Bool(true),
	})
}

func requireTLS(ctx *pulumi.Context, name string, bucket *s3.Bucket, opts ...pulumi.ResourceOption) error {
	_, err := s3.NewBucketPolicy(ctx, name, &s3.BucketPolicyArgs{
		Bucket: bucket.ID(),
		Policy: pulumi.JSONMarshal(pulumi.Map{
			"Version": pulumi.String("2012-10-17"),
			"Statement": pulumi.Array{pulumi.Map{
				"Sid":       pulumi.String("RequireTLS"),
				"Effect":    pulumi.String("Deny"),
				"Principal": pulumi.String("*"),
				"Action":    pulumi.String("s3:*"),
				"Resource":  pulumi.Array{bucket.Arn, pulumi.Sprintf("%s/*", bucket.Arn)},
				"Condition": pulumi.Map{"Bool": pulumi.Map{"aws:SecureTransport": pulumi.String("false")}},
			}},
		}),
	}, opts...)
	return err
}

// encrypt uses the given KMS key, or S3's own key if there is none. A bucket
// key saves most of the calls to KMS that each object would cost.
func encrypt(ctx *pulumi.Context, name string, bucket *s3.Bucket, key string) error {
	algorithm := "AES256"
	if key != "" {
		algorithm = "aws:kms"
	}
	_, err := s3.NewBucketServerSideEncryptionConfiguration(ctx, name, &s3.BucketServerSideEncryptionConfigurationArgs{
		Bucket: bucket.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationRuleArray{s3.BucketServerSideEncryptionConfigurationRuleArgs{
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs{
				SseAlgorithm:   pulumi.String(algorithm),
				KmsMasterKeyId: component.Optional(key),
			},
			BucketKeyEnabled: pulumi.Bool(key != ""),
		}},
	})
	return err
}

// keepVersions keeps what was overwritten or deleted for some days.
func keepVersions(ctx *pulumi.Context, name string, bucket *s3.Bucket, days int) error {
	versioning, err := s3.NewBucketVersioning(ctx, name, &s3.BucketVersioningArgs{
		Bucket:                  bucket.ID(),
		VersioningConfiguration: s3.BucketVersioningVersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	})
	if err != nil {
		return err
	}
	_, err = s3.NewBucketLifecycleConfiguration(ctx, name, &s3.BucketLifecycleConfigurationArgs{
		Bucket: bucket.ID(),
		Rules: s3.BucketLifecycleConfigurationRuleArray{s3.BucketLifecycleConfigurationRuleArgs{
			Id:     pulumi.String("remove-leftovers"),
			Status: pulumi.String("Enabled"),
			Filter: s3.BucketLifecycleConfigurationRuleFilterArgs{},
			NoncurrentVersionExpiration: s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs{
				NoncurrentDays: pulumi.Int(days),
			},
			AbortIncompleteMultipartUpload: s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs{
				DaysAfterInitiation: pulumi.Int(7),
			},
		}},
	}, pulumi.DependsOn([]pulumi.Resource{versioning}))
	return err
}
