// A program with one resource: a file.
package main

import (
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	toyfile "example.com/iac-catalog/toyfile-sdk"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		var file pulumi.CustomResourceState
		path := filepath.Join(os.TempDir(), "toyfile.txt")
		inputs := pulumi.Map{"path": pulumi.String(path), "content": pulumi.String("made")}
		return ctx.RegisterResource("toyfile:index:File", "greeting", inputs, &file, pulumi.Version(toyfile.Version))
	})
}
