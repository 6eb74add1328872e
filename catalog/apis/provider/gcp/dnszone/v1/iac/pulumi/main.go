// A Cloud DNS zone, signed if it is public, with its records.
package main

import (
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v9/go/gcp/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/gcp/internal/formats"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

// line is one of a zone file, with @ for the domain itself.
var line = component.NewFormat(`(@|[\w*-]+(\.[\w-]+)*) (A|AAAA|CAA|CNAME|MX|NS|SRV|TXT) \S.*`, "a record such as www A 192.0.2.1 or @ MX 10 mail.example.com.")

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		name       = config.Text("name", "name of the zone in Google Cloud", config.DefaultName(), component.DNSLabel)
		domain     = config.Text("domain", "the domain it answers for", "", component.Domain)
		visibility = config.OneOf("visibility", "who may look it up: everyone or the named networks", "public", "private")
		networks   = config.List("networks", "networks that see a private zone", formats.Network)
		lines      = config.List("records", "records as in a zone file, without times to live; `@` is the domain itself", line)
		ttl        = config.Int("ttlSeconds", "how long resolvers may keep a record", 300, 0, 86400)
		logged     = config.Bool("logQueries", "log the queries to a public zone", false)
		labels     = config.Labels()
	)
	if (visibility == "private") != (len(networks) > 0) {
		config.Reject("networks", "must be set for a private zone, and only for one")
	}
	records := group(lines)
	for _, set := range records {
		set.check(config)
	}
	if err := config.Err(); err != nil {
		return err
	}

	args := &dns.ManagedZoneArgs{
		Name:       pulumi.String(name),
		DnsName:    pulumi.String(domain + "."),
		Visibility: pulumi.String(visibility),
		Labels:     labels.Map(),
	}
	if visibility == "public" {
		args.DnssecConfig = signed()
		args.CloudLoggingConfig = dns.ManagedZoneCloudLoggingConfigArgs{EnableLogging: pulumi.Bool(logged)}
	} else {
		args.PrivateVisibilityConfig = seenBy(networks)
	}
	zone, err := dns.NewManagedZone(ctx, name, args)
	if err != nil {
		return err
	}
	for _, set := range records {
		if _, err := dns.NewRecordSet(ctx, set.name+"-"+set.kind, &dns.RecordSetArgs{
			ManagedZone: zone.Name,
			Name:        pulumi.String(strings.TrimPrefix(set.name+"."+domain+".", "@.")),
			Type:        pulumi.String(set.kind),
			Ttl:         pulumi.Int(ttl),
			Rrdatas:     pulumi.ToStringArray(set.data),
		}); err != nil {
			return err
		}
	}

	ctx.Export("zone", zone.Name)
	ctx.Export("domain", zone.DnsName)
	ctx.Export("nameServers", zone.NameServers)
	return nil
}

// recordSet is all records of one name and type, the unit in which Cloud DNS
// keeps them.
type recordSet struct {
	name, kind string
	data       []string
}

func group(lines []string) []*recordSet {
	var sets []*recordSet
	known := map[string]*recordSet{}
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		kind, data, _ := strings.Cut(rest, " ")
		set := known[name+" "+kind]
		if set == nil {
			set = &recordSet{name: name, kind: kind}
			known[name+" "+kind] = set
			sets = append(sets, set)
		}
		set.data = append(set.data, data)
	}
	return sets
}

// check rejects what Cloud DNS would refuse only after the zone exists, or
// understand otherwise than it is meant.
func (s recordSet) check(config *component.Config) {
	if s.name == "@" && (s.kind == "CNAME" || s.kind == "NS") {
		config.Reject("records", "the domain itself cannot have a %s record", s.kind)
	}
	if s.kind == "CNAME" && len(s.data) > 1 {
		config.Reject("records", "%s has %d CNAME records; there can be only one", s.name, len(s.data))
	}
	for _, data := range s.data {
		switch s.kind {
		case "CNAME", "MX", "NS", "SRV":
			if !strings.HasSuffix(data, ".") {
				config.Reject("records", "%s %s %s: the name it points to must be whole, with a dot at its end", s.name, s.kind, data)
			}
		case "TXT":
			if !strings.HasPrefix(data, `"`) {
				config.Reject("records", "%s TXT %s: the text must be in double quotes", s.name, data)
			}
		}
	}
}

// signed uses elliptic curves: the answers fit into one packet, which those with
// Cloud DNS's default of RSA do not always.
func signed() dns.ManagedZoneDnssecConfigArgs {
	var keys dns.ManagedZoneDnssecConfigDefaultKeySpecArray
	for _, use := range []string{"keySigning", "zoneSigning"} {
		keys = append(keys, dns.ManagedZoneDnssecConfigDefaultKeySpecArgs{
			KeyType:   pulumi.String(use),
			Algorithm: pulumi.String("ecdsap256sha256"),
			KeyLength: pulumi.Int(256),
		})
	}
	return dns.ManagedZoneDnssecConfigArgs{
		State:           pulumi.String("on"),
		NonExistence:    pulumi.String("nsec3"),
		DefaultKeySpecs: keys,
	}
}

func seenBy(networks []string) dns.ManagedZonePrivateVisibilityConfigArgs {
	var array dns.ManagedZonePrivateVisibilityConfigNetworkArray
	for _, network := range networks {
		array = append(array, dns.ManagedZonePrivateVisibilityConfigNetworkArgs{NetworkUrl: pulumi.String(network)})
	}
	return dns.ManagedZonePrivateVisibilityConfigArgs{Networks: array}
}
