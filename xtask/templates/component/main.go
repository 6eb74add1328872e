// A COMPONENT of PROVIDER. Say here what it is, and what it takes care of.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name   = config.Text("name", "name of what is created", config.DefaultName(), component.DNSLabel)
		labels = config.Labels()
	)
	if err := config.Err(); err != nil {
		return err
	}

	// Here go the resources, each with the name and the labels.
	ctx.Export("name", pulumi.String(name))
	ctx.Export("labels", labels.Map())
	return nil
}
