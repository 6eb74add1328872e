package componenttest

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

type inputs = map[string]map[string]any

const thing = "shop:index:Thing"

type thingState struct {
	pulumi.CustomResourceState
	Address pulumi.StringOutput `pulumi:"address"`
}

// program creates the things that its configuration names.
func program(ctx *pulumi.Context) error {
	for _, name := range strings.Fields(config.Get(ctx, "things")) {
		var state thingState
		if err := ctx.RegisterResource(thing, name, pulumi.Map{
			"size": pulumi.Int(3),
			"tags": pulumi.ToStringArray([]string{name}),
		}, &state); err != nil {
			return err
		}
		var child pulumi.CustomResourceState
		if err := ctx.RegisterResource(thing+"Child", name, pulumi.Map{"of": state.Address}, &child); err != nil {
			return err
		}
	}
	if config.GetBool(ctx, "fail") {
		return errors.New("no size")
	}
	return nil
}

func TestProblems(t *testing.T) {
	one := map[string]any{"things": "a"}
	for _, test := range []struct {
		name    string
		is      Case
		problem string
	}{
		{"as wanted", Case{Config: one, Inputs: inputs{thing: {"size": 3, "tags": []any{"a"}, "tags[0]": "a", "tags[1]": nil}}}, ""},
		{
			"outputs",
			Case{
				Config:  one,
				Outputs: map[string]map[string]any{thing: {"address": "192.0.2.1"}},
				Inputs:  inputs{thing + "Child": {"of": "192.0.2.1"}},
			},
			"",
		},
		{"by name", Case{Config: map[string]any{"things": "a b"}, Inputs: inputs{thing + " b": {"tags[0]": "b"}}}, ""},
		{"none wanted, none there", Case{Inputs: inputs{thing: nil}}, ""},
		{"failure as wanted", Case{Config: map[string]any{"fail": true}, Faults: []string{"no size"}}, ""},
		{"another value", Case{Config: one, Inputs: inputs{thing: {"size": 4}}}, "size is 3, want 4"},
		{"a value where none is wanted", Case{Config: one, Inputs: inputs{thing: {"size": nil}}}, "size is 3, want <nil>"},
		{"a value is missing", Case{Config: one, Inputs: inputs{thing: {"colour": "red"}}}, `colour is <nil>, want "red"`},
		{"bad path", Case{Config: one, Inputs: inputs{thing: {"tags[": "a"}}}, `property path "tags["`},
		{"a resource is missing", Case{Inputs: inputs{thing: {}}}, "there are 0, want 1"},
		{"a resource too many", Case{Config: one, Inputs: inputs{thing: nil}}, "there are 1, want 0"},
		{"several without a name", Case{Config: map[string]any{"things": "a b"}, Inputs: inputs{thing: {}}}, "there are 2, want 1"},
		{"failure", Case{Config: map[string]any{"fail": true}}, "no size"},
		{"success where a failure is wanted", Case{Faults: []string{"no size"}}, "the run succeeded"},
		{"another failure", Case{Config: map[string]any{"fail": true}, Faults: []string{"no name"}}, `does not say "no name"`},
		{
			"failure too late",
			Case{Config: map[string]any{"things": "a", "fail": true}, Faults: []string{"no size"}},
			"resources were registered all the same",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems := test.is.problems(program)
			if test.problem == "" {
				if len(problems) > 0 {
					t.Errorf("got %q, want none", problems)
				}
				return
			}
			if !slices.ContainsFunc(problems, func(got string) bool { return strings.Contains(got, test.problem) }) {
				t.Errorf("got %q, want %q", problems, test.problem)
			}
		})
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cases.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[{name: x, config: {n: 3, list: [a]}, inputs: {gone: null, there: {}}, faults: [no]}]")
	cases, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Case{{
		Name:   "x",
		Config: map[string]any{"n": 3, "list": []any{"a"}},
		Inputs: inputs{"gone": nil, "there": {}},
		Faults: []string{"no"},
	}}
	if !reflect.DeepEqual(cases, want) {
		t.Errorf("got %#v, want %#v", cases, want)
	}
	write("[{name: x, input: {}}]")
	if _, err := read(file); err == nil || !strings.Contains(err.Error(), "field input not found") {
		t.Errorf("got error %v, want one about the unknown field", err)
	}
}

func TestConfigText(t *testing.T) {
	for want, value := range map[string]any{"a": "a", "3": 3, "true": true, `["a"]`: []any{"a"}, `{"a":"b"}`: map[string]any{"a": "b"}} {
		if got := configText(value); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
