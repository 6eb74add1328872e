// A signed DNS zone with its records.
//
// A zone that is replaced has other name servers, and the domain is gone until
// its registrar has them: that is why deletion is refused.
package main

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-azure-native-sdk/dns/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"example.com/iac-catalog/azure/internal/azure"
	"example.com/iac-catalog/pkg/component"
)

func main() {
	pulumi.Run(run)
}

var (
	domainName = component.Format{Pattern: component.Domain.Pattern, Words: "a domain in lower case such as example.com"}
	record     = component.NewFormat(`(@|[a-z0-9_*-]+(\.[a-z0-9_-]+)*) (A|AAAA|CAA|CNAME|MX|TXT) \S.*`,
		"a record such as www A 192.0.2.1 or @ MX 10 mx.example.net")

	noMail = []string{"@ MX 0 .", "@ TXT v=spf1 -all", "_dmarc TXT v=DMARC1; p=reject"}
)

// recordSet is all records of one name and type, the unit in which Azure keeps
// them.
type recordSet struct {
	name, kind string
	a          dns.ARecordArray
	aaaa       dns.AaaaRecordArray
	caa        dns.CaaRecordArray
	mx         dns.MxRecordArray
	txt        dns.TxtRecordArray
	cname      pulumi.StringPtrInput
}

func run(ctx *pulumi.Context) error {
	config := component.NewConfig(ctx)
	var (
		domain  = config.Text("domain", "the domain it answers for", "", domainName)
		where   = config.Text("location", "region of the resource group; the zone itself is everywhere", "westeurope", azure.Location)
		lines   = config.List("records", "records as in a zone file, without times to live; `@` is the domain itself", record)
		refuse  = config.Bool("rejectMail", "tell everyone that the domain neither sends nor takes mail", false)
		ttl     = config.Int("ttlSeconds", "how long resolvers may keep a record", 3600, 1, component.Day)
		signed  = config.Bool("dnssec", "sign the zone", true)
		protect = config.Bool("protect", "refuse to delete the zone", true)
		labels  = config.Labels()
	)
	if refuse {
		lines = append(lines, noMail...)
	}
	sets := gather(config, lines)
	if err := config.Err(); err != nil {
		return err
	}

	group, err := azure.NewResourceGroup(ctx, domain, where, labels)
	if err != nil {
		return err
	}
	zone, err := dns.NewZone(ctx, domain, &dns.ZoneArgs{
		ResourceGroupName: group.Name,
		ZoneName:          pulumi.String(domain),
		ZoneType:          dns.ZoneTypePublic,
		Location:          pulumi.String("global"),
		Tags:              labels.Map(),
	}, pulumi.Protect(protect))
	if err != nil {
		return err
	}
	for _, set := range sets {
		args := set.args()
		args.ResourceGroupName = group.Name
		args.ZoneName = zone.Name
		args.Ttl = pulumi.Float64(ttl)
		if _, err := dns.NewRecordSet(ctx, set.name+"-"+set.kind, args); err != nil {
			return err
		}
	}
	if signed {
		signing, err := dns.NewDnssecConfig(ctx, domain, &dns.DnssecConfigArgs{
			ResourceGroupName: group.Name,
			ZoneName:          zone.Name,
		})
		if err != nil {
			return err
		}
		ctx.Export("dsRecords", signing.SigningKeys.ApplyT(dsRecords))
	}

	ctx.Export("resourceGroup", group.Name)
	ctx.Export("nameServers", zone.NameServers)
	return nil
}

// gather makes sets of records, and rejects those that DNS does not have.
func gather(config *component.Config, lines []string) []*recordSet {
	var sets []*recordSet
	for _, line := range lines {
		if !record.Pattern.MatchString(line) {
			continue // noted when it was read
		}
		part := strings.SplitN(line, " ", 3)
		name, kind := part[0], part[1]
		i := slices.IndexFunc(sets, func(s *recordSet) bool { return s.name == name && s.kind == kind })
		if i < 0 {
			i = len(sets)
			sets = append(sets, &recordSet{name: name, kind: kind})
		}
		if err := sets[i].add(part[2]); err != nil {
			config.Reject("records", "%s: %v", line, err)
		}
	}
	for _, set := range sets {
		if set.kind == "CNAME" && (set.name == "@" || slices.ContainsFunc(sets, func(s *recordSet) bool { return s.name == set.name && s != set })) {
			config.Reject("records", "%s has other records and cannot have a CNAME", set.name)
		}
	}
	return sets
}

// add takes the data of one more record.
func (s *recordSet) add(data string) error {
	switch s.kind {
	case "A", "AAAA":
		address, err := netip.ParseAddr(data)
		if err != nil || address.Is4() != (s.kind == "A") {
			return errors.New("that is not an address of this type")
		}
		if address.Is4() {
			s.a = append(s.a, dns.ARecordArgs{Ipv4Address: pulumi.String(data)})
		} else {
			s.aaaa = append(s.aaaa, dns.AaaaRecordArgs{Ipv6Address: pulumi.String(data)})
		}
	case "CAA":
		part := strings.SplitN(data, " ", 3)
		flags, err := strconv.Atoi(part[0])
		if err != nil || len(part) < 3 {
			return errors.New("the data must be flags, a tag and a value, such as 0 issue letsencrypt.org")
		}
		s.caa = append(s.caa, dns.CaaRecordArgs{Flags: pulumi.Int(flags), Tag: pulumi.String(part[1]), Value: unquoted(part[2])})
	case "CNAME":
		if s.cname != nil {
			return errors.New("there can be only one")
		}
		s.cname = pulumi.String(data)
	case "MX":
		preference, host, _ := strings.Cut(data, " ")
		number, err := strconv.Atoi(preference)
		if err != nil || host == "" {
			return errors.New("the data must be a preference and a host, such as 10 mx.example.net")
		}
		s.mx = append(s.mx, dns.MxRecordArgs{Preference: pulumi.Int(number), Exchange: pulumi.String(host)})
	case "TXT":
		// DNS carries a text in pieces.
		var pieces pulumi.StringArray
		for piece := range slices.Chunk([]byte(unquoted(data)), 255) {
			pieces = append(pieces, pulumi.String(piece))
		}
		s.txt = append(s.txt, dns.TxtRecordArgs{Value: pieces})
	}
	return nil
}

// unquoted is a text without the quotes that zone files need around it.
func unquoted(text string) pulumi.String {
	return pulumi.String(strings.Trim(text, `"`))
}

func (s *recordSet) args() *dns.RecordSetArgs {
	args := &dns.RecordSetArgs{
		RelativeRecordSetName: pulumi.String(s.name),
		RecordType:            pulumi.String(s.kind),
		ARecords:              s.a,
		AaaaRecords:           s.aaaa,
		CaaRecords:            s.caa,
		MxRecords:             s.mx,
		TxtRecords:            s.txt,
	}
	if s.cname != nil {
		args.CnameRecord = dns.CnameRecordArgs{Cname: s.cname}
	}
	return args
}

func dsRecords(keys []dns.SigningKeyResponse) []string {
	var records []string
	for _, key := range keys {
		for _, info := range key.DelegationSignerInfo {
			records = append(records, info.Record)
		}
	}
	return records
}
