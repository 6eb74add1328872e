// An ECR repository whose tags mean the same image for ever.
//
// Every push is scanned. What no tag names any more goes after some days, and
// the oldest images once there are too many.
package main

import (
	"github.com/pulumi/pulumi-aws/sdk/v7/go/aws/ecr"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/aws/internal/formats"
	"example.com/iac-catalog/aws/internal/iampolicy"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var repositoryName = component.NewFormat(`[a-z][a-z0-9]*([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*`,
	"lowercase letters and digits, between them single dots, underscores, hyphens and slashes")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name     = config.Text("name", "the repository's name, such as `shop/web`", config.DefaultName(), repositoryName)
		mutable  = config.Bool("mutableTags", "let a push move a tag to another image", false)
		key      = config.Text("kmsKey", "ARN of the KMS key to encrypt with; it cannot be changed later", "", formats.KMSKey)
		untagged = config.Int("untaggedDays", "how long images without a tag are kept", 14, 1, 3650)
		keep     = config.Int("keepImages", "how many images are kept; the oldest go first", 200, 1, 10000)
		pullers  = config.List("pullers", "who may pull, besides those whom IAM policies let, such as other accounts", formats.Principal)
		destroy  = config.Bool("destroyImages", "let `pulumi destroy` delete a repository that holds images", false)
		labels   = config.Labels()
	)
	if len(name) > 256 {
		config.Reject("name", "must have at most 256 characters")
	}
	if err := config.Err(); err != nil {
		return err
	}

	repository, err := ecr.NewRepository(ctx, name, &ecr.RepositoryArgs{
		Name:                       pulumi.String(name),
		ImageTagMutability:         pulumi.String(mutability(mutable)),
		ImageScanningConfiguration: ecr.RepositoryImageScanningConfigurationArgs{ScanOnPush: pulumi.Bool(true)},
		EncryptionConfigurations:   ecr.RepositoryEncryptionConfigurationArray{encryption(key)},
		ForceDelete:                pulumi.Bool(destroy),
		Tags:                       labels.Map(),
	})
	if err != nil {
		return err
	}
	if err := expire(ctx, name, repository, untagged, keep); err != nil {
		return err
	}
	if len(pullers) > 0 {
		if _, err := ecr.NewRepositoryPolicy(ctx, name, &ecr.RepositoryPolicyArgs{
			Repository: repository.Name,
			Policy: iampolicy.Document(iampolicy.Statement{
				Sid:       "Pull",
				Effect:    "Allow",
				Principal: iampolicy.Map{"AWS": pullers},
				Action:    []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
			}),
		}); err != nil {
			return err
		}
	}

	ctx.Export("name", repository.Name)
	ctx.Export("arn", repository.Arn)
	ctx.Export("url", repository.RepositoryUrl)
	return nil
}

func mutability(mutable bool) string {
	if mutable {
		return "MUTABLE"
	}
	return "IMMUTABLE"
}

// encryption is with the given KMS key, or ECR's own key if there is none.
func encryption(key string) ecr.RepositoryEncryptionConfigurationArgs {
	if key == "" {
		return ecr.RepositoryEncryptionConfigurationArgs{EncryptionType: pulumi.String("AES256")}
	}
	return ecr.RepositoryEncryptionConfigurationArgs{EncryptionType: pulumi.String("KMS"), KmsKey: pulumi.String(key)}
}

// expire removes what nobody pulls any more, most likely.
func expire(ctx *pulumi.Context, name string, repository *ecr.Repository, untagged, keep int) error {
	rule := func(priority int, description string, selection pulumi.Map) pulumi.Map {
		return pulumi.Map{
			"rulePriority": pulumi.Int(priority),
			"description":  pulumi.String(description),
			"selection":    selection,
			"action":       pulumi.Map{"type": pulumi.String("expire")},
		}
	}
	_, err := ecr.NewLifecyclePolicy(ctx, name, &ecr.LifecyclePolicyArgs{
		Repository: repository.Name,
		Policy: pulumi.JSONMarshal(pulumi.Map{"rules": pulumi.Array{
			rule(1, "images without a tag", pulumi.Map{
				"tagStatus":   pulumi.String("untagged"),
				"countType":   pulumi.String("sinceImagePushed"),
				"countUnit":   pulumi.String("days"),
				"countNumber": pulumi.Int(untagged),
			}),
			rule(2, "the oldest of too many", pulumi.Map{
				"tagStatus":   pulumi.String("any"),
				"countType":   pulumi.String("imageCountMoreThan"),
				"countNumber": pulumi.Int(keep),
			}),
		}}),
	})
	return err
}
