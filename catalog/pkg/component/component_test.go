package component

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// with calls test with the configuration of the stack Prod.EU of the project shop.
func with(t *testing.T, settings map[string]string, test func(*Config)) {
	t.Helper()
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		test(NewConfig(ctx))
		return nil
	}, pulumi.WithMocks("shop", "Prod.EU", noResources{}), func(info *pulumi.RunInfo) {
		info.Config = map[string]string{}
		for key, value := range settings {
			if !strings.Contains(key, ":") {
				key = "shop:" + key
			}
			info.Config[key] = value
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

type noResources struct{}

func (noResources) NewResource(pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	panic("no resource is created here")
}

func (noResources) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	panic("nothing is looked up here")
}

var word = NewFormat(`[a-z]+`, "a word")

// readers name a reader for each kind of setting.
var readers = map[string]func(*Config) any{
	"text":      func(c *Config) any { return c.Text("key", "a meaning", "fallback", word) },
	"mandatory": func(c *Config) any { return c.Text("key", "a meaning", "", word) },
	"misfit":    func(c *Config) any { return c.Text("key", "a meaning", "Not A Word", word) },
	"choice":    func(c *Config) any { return c.OneOf("key", "a meaning", "red", "green") },
	"int":       func(c *Config) any { return c.Int("key", "a meaning", 3, 1, 5) },
	"bool":      func(c *Config) any { return c.Bool("key", "a meaning", true) },
	"list":      func(c *Config) any { return c.List("key", "a meaning", word) },
	"networks":  func(c *Config) any { return c.CIDRs("key", "a meaning") },
}

func TestReaders(t *testing.T) {
	const unset = "(unset)"
	for _, test := range []struct {
		reader, text string
		want         any
		fault        string
	}{
		{"text", unset, "fallback", ""},
		{"text", "other", "other", ""},
		{"text", "two words", nil, `key: must be a word, not "two words"`},
		{"text", "word\n", nil, `key: must be a word`},
		{"mandatory", "other", "other", ""},
		{"mandatory", unset, nil, "key: is not set; it must be a word"},
		{"mandatory", "", nil, "key: is not set; it must be a word"},
		{"misfit", unset, nil, `key: must be a word, not "Not A Word"`},
		{"choice", unset, "red", ""},
		{"choice", "green", "green", ""},
		{"choice", "blue", nil, `key: must be one of red, green, not "blue"`},
		{"int", unset, 3, ""},
		{"int", "5", 5, ""},
		{"int", "1", 1, ""},
		{"int", "6", nil, `key: must be a whole number from 1 to 5, not "6"`},
		{"int", "0", nil, "key: must be"},
		{"int", "three", nil, "key: must be"},
		{"bool", unset, true, ""},
		{"bool", "false", false, ""},
		{"bool", "maybe", nil, `key: must be true or false, not "maybe"`},
		{"list", unset, []string(nil), ""},
		{"list", `["a", "b"]`, []string{"a", "b"}, ""},
		{"list", `["a", "B"]`, nil, "key: must be a list, each item a word"},
		{"list", "a,b", nil, "key: must be a list"},
		{"networks", `["192.0.2.0/24", "2001:db8::/32"]`, []string{"192.0.2.0/24", "2001:db8::/32"}, ""},
		{"networks", `["0.0.0.0/0"]`, nil, "key: must be a list, each item a network smaller than the Internet"},
		{"networks", `["::/0"]`, nil, "key: must be"},
		{"networks", `["192.0.2.7/24"]`, nil, "key: must be"},
		{"networks", `["192.0.2.7"]`, nil, "key: must be"},
	} {
		t.Run(test.reader+" "+test.text, func(t *testing.T) {
			settings := map[string]string{"key": test.text}
			if test.text == unset {
				settings = nil
			}
			with(t, settings, func(c *Config) {
				got := readers[test.reader](c)
				err := c.Err()
				switch {
				case test.fault == "" && err != nil:
					t.Error(err)
				case test.fault == "" && !reflect.DeepEqual(got, test.want):
					t.Errorf("got %#v, want %#v", got, test.want)
				case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
					t.Errorf("got error %v, want %q", err, test.fault)
				}
			})
		})
	}
}

func TestErrTellsAllFaults(t *testing.T) {
	with(t, map[string]string{"size": "9"}, func(c *Config) {
		c.Text("owner", "a meaning", "", word)
		c.Int("size", "a meaning", 1, 1, 8)
		c.Reject("size", "too large for %s", "a test")
		const want = `invalid configuration of stack Prod.EU:
  owner: is not set; it must be a word
  size: must be a whole number from 1 to 8, not "9"
  size: too large for a test
set a value with: pulumi config set KEY VALUE`
		if got := c.Err(); got == nil || got.Error() != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

func TestDefaultName(t *testing.T) {
	with(t, nil, func(c *Config) {
		if got := c.DefaultName(); got != "shop-prod-eu" {
			t.Errorf("got %q", got)
		}
	})
}

func TestOptional(t *testing.T) {
	if Optional("") != nil {
		t.Error("an empty text must leave the input unset")
	}
	if got := Optional("x"); got != pulumi.String("x") {
		t.Errorf("got %v", got)
	}
}

func TestLabels(t *testing.T) {
	with(t, map[string]string{"labels": `{"team": "orders"}`}, func(c *Config) {
		labels := c.Labels()
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
		const want = "managed-by:pulumi project:shop stack:prod-eu team:orders"
		if got := labels.Words(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := labels.Map(); got["team"] != pulumi.String("orders") || len(got) != 4 {
			t.Errorf("got %v", got)
		}
	})
}

func TestBadLabels(t *testing.T) {
	for text, fault := range map[string]string{
		`{"Team": "orders"}`:     "labels: must be a map",
		`{"team": "the orders"}`: "labels: must be a map",
		`["team"]`:               "labels: must be a map",
		`{"stack": "mine"}`:      "labels: stack is set by the program itself",
	} {
		with(t, map[string]string{"labels": text}, func(c *Config) {
			c.Labels()
			if err := c.Err(); err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: got error %v, want %q", text, err, fault)
			}
		})
	}
}

func TestDescription(t *testing.T) {
	with(t, map[string]string{"size": "none", Describe: "true"}, func(c *Config) {
		c.Text("name", "what it is called", c.DefaultName(), word)
		c.Int("size", "how large | small", 1, 1, 8)
		c.CIDRs("networks", "who may come in")
		c.Text("owner", "whom to ask", "", word)
		const want = "| key | default | value | meaning |\n" +
			"|---|---|---|---|\n" +
			"| name | `shop-prod-eu` | a word | what it is called |\n" +
			"| size | `1` | a whole number from 1 to 8 | how large \\| small |\n" +
			"| networks | none | a list, each item a network smaller than the Internet, such as 192.0.2.0/24 | who may come in |\n" +
			"| owner | **required** | a word | whom to ask |"
		var description Description
		if err := c.Err(); !errors.As(err, &description) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}
