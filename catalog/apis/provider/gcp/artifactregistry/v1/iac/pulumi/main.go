// An Artifact Registry repository for images or packages.
//
// A tag of an image, once pushed, stays what it is: what was tested under it is
// what runs under it.
package main

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/artifactregistry"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var location = component.NewFormat(`[a-z]+(-[a-z]+[0-9]+)?`, "a region or multi-region such as europe-west1 or europe")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name      = config.Text("name", "name of the repository", config.DefaultName(), component.DNSLabel)
		where     = config.Text("location", "where it is stored", "europe", location)
		kind      = config.OneOf("format", "what it holds", "DOCKER", "MAVEN", "NPM", "PYTHON", "GO", "APT", "YUM")
		immutable = config.Bool("immutableTags", "refuse to move the tag of an image", true)
		untagged  = config.Int("untaggedDays", "how long images without a tag are kept", 14, 1, 3650)
		key       = config.Text("kmsKey", "KMS key to encrypt with", "", formats.KMSKey.OrUnset())
		readers   = config.List("readers", "members that may pull", formats.Member)
		writers   = config.List("writers", "members that may push and pull", formats.Member)
		labels    = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	args := &artifactregistry.RepositoryArgs{
		RepositoryId: pulumi.String(name),
		Location:     pulumi.String(where),
		Format:       pulumi.String(kind),
		Mode:         pulumi.String("STANDARD_REPOSITORY"),
		KmsKeyName:   component.Optional(key),
		Labels:       labels.Map(),
	}
	// Packages of the other formats have no tags: all of them would go.
	if kind == "DOCKER" {
		args.DockerConfig = artifactregistry.RepositoryDockerConfigArgs{ImmutableTags: pulumi.Bool(immutable)}
		args.CleanupPolicies = artifactregistry.RepositoryCleanupPolicyArray{deleteUntagged(untagged)}
	}
	repository, err := artifactregistry.NewRepository(ctx, name, args)
	if err != nil {
		return err
	}
	for role, members := range map[string][]string{"reader": readers, "writer": writers} {
		for _, member := range members {
			if _, err := artifactregistry.NewRepositoryIamMember(ctx, name+"-"+role+"-"+member, &artifactregistry.RepositoryIamMemberArgs{
				Location:   repository.Location,
				Repository: repository.Name,
				Role:       pulumi.String("roles/artifactregistry." + role),
				Member:     pulumi.String(member),
			}); err != nil {
				return err
			}
		}
	}

	ctx.Export("repository", repository.ID())
	ctx.Export("url", repository.RegistryUri)
	return nil
}

func deleteUntagged(days int) artifactregistry.RepositoryCleanupPolicyArgs {
	return artifactregistry.RepositoryCleanupPolicyArgs{
		Id:     pulumi.String("delete-untagged"),
		Action: pulumi.String("DELETE"),
		Condition: artifactregistry.RepositoryCleanupPolicyConditionArgs{
			TagState: pulumi.String("UNTAGGED"),
			// The API answers in seconds, whatever unit it is given.
			OlderThan: pulumi.String(fmt.Sprintf("%ds", days*component.Day)),
		},
	}
}
