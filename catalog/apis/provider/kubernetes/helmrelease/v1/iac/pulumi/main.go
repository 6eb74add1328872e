// A Helm release that is undone if it fails.
//
// The chart's version is exact: Helm would take the newest at every update,
// whatever the update was meant for.
package main

import (
	"os"
	"strconv"
	"strings"

	helmv3 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/helm/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	// releaseName is a DNS label of at most 53 characters: charts append to it.
	releaseName = component.NewFormat(`[a-z]([a-z0-9-]{0,51}[a-z0-9])?`, "1 to 53 lowercase letters, digits and hyphens, starting with a letter")
	chartName   = component.NewFormat(`[a-z0-9][a-z0-9._-]*|oci://[^\s/:]+(:[0-9]+)?(/[^\s/:]+)+`,
		"a chart in the repository, or in a registry as in oci://ghcr.io/stefanprodan/charts/podinfo")
	repository = component.NewFormat(`|https://\S+`, "the URL of a repository, starting with https://")
	exact      = component.NewFormat(`v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?`, "an exact version such as 4.13.2")
	file       = component.NewFormat(`\S.*\.ya?ml`, "a YAML file")
	value      = component.NewFormat(`[^\s.=]+(\.[^\s.=]+)*=.*`, "PATH=VALUE such as controller.replicaCount=2")
	keyring    = component.NewFormat(`.*`, "a file of public keys")
)

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name      = config.Text("name", "name of the release", config.DefaultName(), releaseName)
		namespace = config.Text("namespace", "namespace of the release", "default", component.DNSLabel)
		create    = config.Bool("createNamespace", "create the namespace if there is none", true)
		chart     = config.Text("chart", "the chart", "", chartName)
		repo      = config.Text("repository", "its repository, unless it is in a registry", "", repository)
		version   = config.Text("version", "the chart's version", "", exact)
		files     = config.List("valuesFiles", "files of values, relative to the program", file)
		items     = config.List("values", "more values, as `helm --set` takes them, without lists", value)
		keys      = config.Text("keyring", "keys, by one of which the chart must be signed", "", keyring)
		minutes   = config.Int("timeoutMinutes", "after how long a release that is not ready is undone", 5, 1, 120)
	)
	if strings.HasPrefix(chart, "oci://") == (repo != "") {
		config.Reject("repository", "must be set for a chart in a repository, and only for one")
	}
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			config.Reject("valuesFiles", "%v", err)
		}
	}
	values := tree(config, items)
	if err := config.Err(); err != nil {
		return err
	}

	args := &helmv3.ReleaseArgs{
		Name:            pulumi.String(name),
		Namespace:       pulumi.String(namespace),
		CreateNamespace: pulumi.Bool(create),
		Chart:           pulumi.String(chart),
		Version:         pulumi.String(version),
		Values:          pulumi.ToMap(values),
		ValueYamlFiles:  assets(files),
		Verify:          pulumi.Bool(keys != ""),
		Keyring:         component.Optional(keys),
		Lint:            pulumi.Bool(true),
		Atomic:          pulumi.Bool(true),
		CleanupOnFail:   pulumi.Bool(true),
		WaitForJobs:     pulumi.Bool(true),
		Timeout:         pulumi.Int(minutes * 60),
		MaxHistory:      pulumi.Int(10),
	}
	if repo != "" {
		args.RepositoryOpts = helmv3.RepositoryOptsArgs{Repo: pulumi.String(repo)}
	}
	release, err := helmv3.NewRelease(ctx, name, args)
	if err != nil {
		return err
	}

	ctx.Export("release", release.Name)
	ctx.Export("namespace", release.Namespace)
	ctx.Export("status", release.Status.Status())
	return nil
}

func assets(files []string) pulumi.AssetOrArchiveArray {
	var assets pulumi.AssetOrArchiveArray
	for _, file := range files {
		assets = append(assets, pulumi.NewFileAsset(file))
	}
	return assets
}

// tree puts values at their paths. Like Helm it takes what looks like a number
// or like true and false for that.
func tree(config *component.Config, items []string) map[string]any {
	root := map[string]any{}
	for _, item := range items {
		path, text, _ := strings.Cut(item, "=")
		keys := strings.Split(path, ".")
		branch, ok := root, true
		for _, key := range keys[:len(keys)-1] {
			if branch[key] == nil {
				branch[key] = map[string]any{}
			}
			if branch, ok = branch[key].(map[string]any); !ok {
				break
			}
		}
		last := keys[len(keys)-1]
		if !ok || branch[last] != nil {
			config.Reject("values", "%s contradicts another value", item)
			continue
		}
		branch[last] = scalar(text)
	}
	return root
}

func scalar(text string) any {
	if number, err := strconv.Atoi(text); err == nil {
		return number
	}
	if text == "true" || text == "false" {
		return text == "true"
	}
	return text
}
