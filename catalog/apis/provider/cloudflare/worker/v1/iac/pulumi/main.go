// A Worker at your own host names, with what it is bound to.
//
// Neither workers.dev nor previews give it a second address, where it would
// be out of reach of the firewall rules of your zone.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi-cloudflare/sdk/v6/go/cloudflare"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	accountID = component.NewFormat(`[0-9a-f]{32}`, "an account ID of 32 hexadecimal digits")
	otherID   = component.NewFormat(`|[0-9a-f]{32}`, "an ID of 32 hexadecimal digits")
	module    = component.NewFormat(`\S.*\.m?js`, "a JavaScript file")
	date      = component.NewFormat(`20[0-9]{2}-[01][0-9]-[0-3][0-9]`, "a date such as 2025-09-01")
	hostname  = component.NewFormat(`([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]`, "a host name such as www.example.com")
	cron      = component.NewFormat(`\S+( \S+){4}`, "a cron expression such as 30 4 * * *")
	binding   = component.NewFormat(`[A-Z][A-Z0-9_]*`, "a name such as CACHE")
	bound     = component.NewFormat(`[A-Z][A-Z0-9_]*=\S+`, "BINDING=NAME such as FILES=shop-files")
	variable  = component.NewFormat(`[A-Z][A-Z0-9_]*=.*`, "NAME=VALUE such as LOG_LEVEL=info")
)

// settings is one validated configuration.
type settings struct {
	account                                              pulumi.String
	name, file, source, date, zone, store                string
	hostnames, crons, namespaces, buckets, vars, secrets []string
	nodejs                                               bool
}

func load(ctx *pulumi.Context) (settings, error) {
	config := component.NewConfig(ctx)
	s := settings{
		account:    pulumi.String(config.Text("accountId", "the account's ID", "", accountID)),
		name:       config.Text("name", "the Worker's name", config.DefaultName(), component.DNSLabel),
		file:       config.Text("script", "its module, one file relative to the program", "worker.js", module),
		date:       config.Text("compatibilityDate", "as of when it is to behave as Workers did then", "2025-09-01", date),
		nodejs:     config.Bool("nodejs", "offer the modules of Node.js", false),
		hostnames:  config.List("hostnames", "host names that lead to it; their DNS records are made", hostname),
		zone:       config.Text("zoneId", "ID of the zone that has the host names", "", otherID),
		crons:      config.List("crons", "when it runs by itself, UTC", cron),
		vars:       config.List("variables", "plain variables", variable),
		namespaces: config.List("kvNamespaces", "key-value namespaces to create, by the names of their bindings", binding),
		buckets:    config.List("r2Buckets", "R2 buckets to bind", bound),
		secrets:    config.List("secrets", "secrets to bind, by their names in the Secrets Store", bound),
		store:      config.Text("secretsStoreId", "ID of the Secrets Store", "", otherID),
	}
	if len(s.hostnames) > 0 && s.zone == "" {
		config.Reject("zoneId", "is not set, but hostnames are")
	}
	if len(s.secrets) > 0 && s.store == "" {
		config.Reject("secretsStoreId", "is not set, but secrets are")
	}
	source, err := os.ReadFile(s.file)
	if err != nil {
		config.Reject("script", "%v", err)
	}
	s.source = string(source)
	return s, config.Err()
}

func run(ctx *pulumi.Context) error {
	s, err := load(ctx)
	if err != nil {
		return err
	}
	bindings, err := environment(ctx, s)
	if err != nil {
		return err
	}
	args := &cloudflare.WorkersScriptArgs{
		AccountId:         s.account,
		ScriptName:        pulumi.String(s.name),
		Content:           pulumi.String(s.source),
		MainModule:        pulumi.String(filepath.Base(s.file)),
		CompatibilityDate: pulumi.String(s.date),
		Bindings:          bindings,
		Observability: cloudflare.WorkersScriptObservabilityArgs{
			Enabled: pulumi.Bool(true),
			Logs: cloudflare.WorkersScriptObservabilityLogsArgs{
				Enabled:        pulumi.Bool(true),
				InvocationLogs: pulumi.Bool(true),
			},
		},
	}
	if s.nodejs {
		args.CompatibilityFlags = pulumi.ToStringArray([]string{"nodejs_compat"})
	}
	script, err := cloudflare.NewWorkersScript(ctx, s.name, args)
	if err != nil {
		return err
	}
	if _, err := cloudflare.NewWorkersScriptSubdomain(ctx, s.name, &cloudflare.WorkersScriptSubdomainArgs{
		AccountId:       s.account,
		ScriptName:      script.ScriptName,
		Enabled:         pulumi.Bool(false),
		PreviewsEnabled: pulumi.Bool(false),
	}); err != nil {
		return err
	}
	if err := trigger(ctx, s, script); err != nil {
		return err
	}

	ctx.Export("script", script.ScriptName)
	return nil
}

// environment is what the code is bound to.
func environment(ctx *pulumi.Context, s settings) (cloudflare.WorkersScriptBindingArray, error) {
	var all cloudflare.WorkersScriptBindingArray
	bind := func(kind, name string, args cloudflare.WorkersScriptBindingArgs) {
		args.Type, args.Name = pulumi.String(kind), pulumi.String(name)
		all = append(all, args)
	}
	for _, item := range s.vars {
		name, value, _ := strings.Cut(item, "=")
		bind("plain_text", name, cloudflare.WorkersScriptBindingArgs{Text: pulumi.String(value)})
	}
	for _, item := range s.buckets {
		name, bucket, _ := strings.Cut(item, "=")
		bind("r2_bucket", name, cloudflare.WorkersScriptBindingArgs{BucketName: pulumi.String(bucket)})
	}
	for _, item := range s.secrets {
		name, secret, _ := strings.Cut(item, "=")
		bind("secrets_store_secret", name, cloudflare.WorkersScriptBindingArgs{
			StoreId:    pulumi.String(s.store),
			SecretName: pulumi.String(secret),
		})
	}
	ids := pulumi.StringMap{}
	for _, name := range s.namespaces {
		namespace, err := cloudflare.NewWorkersKvNamespace(ctx, name, &cloudflare.WorkersKvNamespaceArgs{
			AccountId: s.account,
			Title:     pulumi.String(s.name + "-" + strings.ToLower(name)),
		})
		if err != nil {
			return nil, err
		}
		bind("kv_namespace", name, cloudflare.WorkersScriptBindingArgs{NamespaceId: namespace.ID()})
		ids[name] = namespace.ID()
	}
	ctx.Export("kvNamespaces", ids)
	return all, nil
}

// trigger is what makes the script run: requests, and times.
func trigger(ctx *pulumi.Context, s settings, script *cloudflare.WorkersScript) error {
	urls := pulumi.StringArray{}
	for _, name := range s.hostnames {
		domain, err := cloudflare.NewWorkersCustomDomain(ctx, name, &cloudflare.WorkersCustomDomainArgs{
			AccountId:   s.account,
			ZoneId:      pulumi.String(s.zone),
			Hostname:    pulumi.String(name),
			Service:     script.ScriptName,
			Environment: pulumi.String("production"),
		})
		if err != nil {
			return err
		}
		urls = append(urls, pulumi.Sprintf("https://%s", domain.Hostname))
	}
	ctx.Export("urls", urls)
	if len(s.crons) == 0 {
		return nil
	}
	var schedules cloudflare.WorkersCronTriggerScheduleArray
	for _, cron := range s.crons {
		schedules = append(schedules, cloudflare.WorkersCronTriggerScheduleArgs{Cron: pulumi.String(cron)})
	}
	_, err := cloudflare.NewWorkersCronTrigger(ctx, s.name, &cloudflare.WorkersCronTriggerArgs{
		AccountId:  s.account,
		ScriptName: script.ScriptName,
		Schedules:  schedules,
	})
	return err
}
