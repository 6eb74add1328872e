// DNS records of a signed zone.
//
// Each record is checked before the first is made: half of a change to a zone
// can be worse than none.
package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-cloudflare/sdk/v6/go/cloudflare"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	zoneID = component.NewFormat(`[0-9a-f]{32}`, "a zone ID of 32 hexadecimal digits")
	line   = component.NewFormat(`(@|[a-z0-9_*-]+(\.[a-z0-9_-]+)*) (A|AAAA|CAA|CNAME|MX|NS|SRV|TXT) \S.*`,
		"a record such as www A 192.0.2.1 proxied or @ MX 10 mx.example.net")

	// form is that of data that start with numbers.
	form = map[string]string{
		"CAA": "flags, a tag and a value, such as 0 issue letsencrypt.org",
		"MX":  "a preference and a host, such as 10 mx.example.net",
		"SRV": "priority, weight, port and a host, such as 10 5 5060 sip.example.net",
	}
)

// record is a line, taken apart.
type record struct {
	name, kind string
	data       string
	// proxied records lead to Cloudflare, which passes the traffic on.
	proxied bool
	// numbers are what stands before the name that an MX or SRV record leads
	// to, or before the tag of a CAA record.
	numbers []float64
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		zone   = pulumi.String(config.Text("zoneId", "the zone's ID", "", zoneID))
		domain = config.Text("domain", "the zone's domain", "", component.Domain)
		lines  = config.List("records", "records; `@` is the domain itself", line)
		ttl    = config.Int("ttlSeconds", "how long resolvers may keep a record that is not proxied", 300, 60, component.Day)
		signed = config.Bool("dnssec", "sign the zone", true)
	)
	records := parse(config, lines)
	if err := config.Err(); err != nil {
		return err
	}

	comment := pulumi.String("of the Pulumi stack " + config.DefaultName())
	names := pulumi.StringArray{}
	made := map[string]int{}
	for _, r := range records {
		// Named without its data, which thus can change in place.
		resource := r.name + "-" + r.kind
		if made[resource]++; made[resource] > 1 {
			resource += fmt.Sprintf("-%d", made[resource])
		}
		args := r.args(ttl)
		args.ZoneId = zone
		args.Comment = comment
		// Cloudflare returns the whole name, and a shorter one would always differ.
		args.Name = pulumi.String(strings.TrimPrefix(r.name+"."+domain, "@."))
		created, err := cloudflare.NewDnsRecord(ctx, resource, args)
		if err != nil {
			return err
		}
		names = append(names, created.Name)
	}
	if signed {
		signing, err := cloudflare.NewZoneDnssec(ctx, domain, &cloudflare.ZoneDnssecArgs{
			ZoneId: zone,
			Status: pulumi.String("active"),
		})
		if err != nil {
			return err
		}
		ctx.Export("dsRecord", signing.Ds)
	}

	ctx.Export("names", names)
	return nil
}

// parse rejects what Cloudflare would refuse only after other records exist.
func parse(config *component.Config, lines []string) []record {
	var records []record
	for i, text := range lines {
		if !line.Pattern.MatchString(text) {
			continue // noted when it was read
		}
		r, err := take(text)
		switch {
		case err != nil:
			config.Reject("records", "%s: %v", text, err)
		case slices.Contains(lines[:i], text):
			config.Reject("records", "%s: is there twice", text)
		case slices.ContainsFunc(records, r.excludes):
			config.Reject("records", "%s: a name with a CNAME can have no other address", text)
		}
		records = append(records, r)
	}
	return records
}

// excludes tells whether the records cannot both be there.
func (r record) excludes(other record) bool {
	leads := func(r record) bool { return r.kind == "A" || r.kind == "AAAA" || r.kind == "CNAME" }
	return r.name == other.name && leads(r) && leads(other) && (r.kind == "CNAME" || other.kind == "CNAME")
}

func take(text string) (record, error) {
	part := strings.SplitN(text, " ", 3)
	r := record{name: part[0], kind: part[1], data: part[2]}
	var err error
	switch r.kind {
	case "A", "AAAA":
		r.data, r.proxied = strings.CutSuffix(r.data, " proxied")
		if address, e := netip.ParseAddr(r.data); e != nil || address.Is4() != (r.kind == "A") {
			err = errors.New("that is not an address of this type")
		}
	case "CNAME":
		r.data, r.proxied = strings.CutSuffix(r.data, " proxied")
		err = r.target(0)
	case "NS":
		err = r.target(0)
	case "MX":
		err = r.target(1)
	case "SRV":
		err = r.target(3)
	case "CAA":
		if err = r.cut(1); err == nil && !strings.Contains(r.data, " ") {
			err = r.malformed()
		}
	}
	return r, err
}

// target checks data that are some numbers and a host.
func (r *record) target(numbers int) error {
	if err := r.cut(numbers); err != nil {
		return err
	}
	if strings.Contains(r.data, " ") {
		return fmt.Errorf("%q is not a host", r.data)
	}
	// A dot at the end says that a name is whole; here all names are.
	if r.data != "." {
		r.data = strings.TrimSuffix(r.data, ".")
	}
	return nil
}

// cut takes numbers from the start of the data.
func (r *record) cut(numbers int) error {
	for range numbers {
		first, rest, _ := strings.Cut(r.data, " ")
		number, err := strconv.ParseUint(first, 10, 16)
		if err != nil || rest == "" {
			return r.malformed()
		}
		r.numbers, r.data = append(r.numbers, float64(number)), rest
	}
	return nil
}

func (r record) malformed() error {
	return fmt.Errorf("the data must be %s", form[r.kind])
}

func (r record) args(ttl int) *cloudflare.DnsRecordArgs {
	args := &cloudflare.DnsRecordArgs{Type: pulumi.String(r.kind), Ttl: pulumi.Float64(ttl)}
	switch r.kind {
	case "CAA":
		tag, value, _ := strings.Cut(r.data, " ")
		args.Data = cloudflare.DnsRecordDataArgs{
			Flags: pulumi.Float64(r.numbers[0]),
			Tag:   pulumi.String(tag),
			Value: pulumi.String(strings.Trim(value, `"`)),
		}
	case "SRV":
		args.Data = cloudflare.DnsRecordDataArgs{
			Priority: pulumi.Float64(r.numbers[0]),
			Weight:   pulumi.Float64(r.numbers[1]),
			Port:     pulumi.Float64(r.numbers[2]),
			Target:   pulumi.String(r.data),
		}
	case "MX":
		args.Priority = pulumi.Float64(r.numbers[0])
		args.Content = pulumi.String(r.data)
	case "TXT":
		args.Content = quoted(r.data)
	default:
		args.Content = pulumi.String(r.data)
		args.Proxied = pulumi.Bool(r.proxied)
	}
	if r.proxied {
		args.Ttl = pulumi.Float64(1) // automatic, as Cloudflare demands
	}
	return args
}

// quoted is a text as Cloudflare keeps it: in pieces as long as DNS carries,
// each in quotes.
func quoted(text string) pulumi.String {
	var pieces []string
	for piece := range slices.Chunk([]byte(strings.Trim(text, `"`)), 255) {
		pieces = append(pieces, `"`+string(piece)+`"`)
	}
	return pulumi.String(strings.Join(pieces, " "))
}
