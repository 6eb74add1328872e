// Package componenttest runs a program of the catalog against a mock engine
// and compares what it asks the engine to create. Nothing leaves the process.
package componenttest

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Project and Stack are those of every run.
const (
	Project = "shop"
	Stack   = "test"
)

// Inputs are what resources must be given: type token → property path → value.
// Numbers are float64, as in JSON. The value nil means that the property must
// be unset; a nil map, that no resource of the type may exist.
type Inputs map[string]map[string]any

// Case is one run of a program.
type Case struct {
	Name string
	// Config is the stack's configuration, without the project's namespace;
	// lists and maps as JSON.
	Config map[string]string
	Inputs Inputs
	// Faults are texts that the run's error must contain; none means that the
	// run must succeed.
	Faults []string
}

// Run tests the program with each case. No resource may be registered by a run
// that fails: bad configuration has to be found before anything is created.
func Run(t *testing.T, program pulumi.RunFunc, cases []Case) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			engine := &engine{inputs: map[string][]resource.PropertyMap{}}
			err := pulumi.RunErr(program, pulumi.WithMocks(Project, Stack, engine), withConfig(c.Config))
			if len(c.Faults) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				engine.check(t, c.Inputs)
				return
			}
			if err == nil {
				t.Fatalf("the run succeeded, want an error with %q", c.Faults)
			}
			for _, fault := range c.Faults {
				if !strings.Contains(err.Error(), fault) {
					t.Errorf("the error does not say %q:\n%v", fault, err)
				}
			}
			if len(engine.inputs) > 0 {
				t.Errorf("resources were registered all the same: %v", engine.inputs)
			}
		})
	}
}

func withConfig(config map[string]string) pulumi.RunOption {
	return func(info *pulumi.RunInfo) {
		info.Config = map[string]string{}
		for key, value := range config {
			info.Config[Project+":"+key] = value
		}
	}
}

// engine stands in for Pulumi's: it keeps the inputs of every resource, by
// type, and answers with them as the resource's state.
type engine struct {
	mu     sync.Mutex
	inputs map[string][]resource.PropertyMap
}

func (e *engine) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inputs[args.TypeToken] = append(e.inputs[args.TypeToken], args.Inputs)
	return args.Name + "-id", args.Inputs, nil
}

// Call answers a lookup with its own arguments.
func (e *engine) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return args.Args, nil
}

func (e *engine) check(t *testing.T, want Inputs) {
	t.Helper()
	for token, properties := range want {
		found := e.inputs[token]
		if properties == nil {
			if len(found) > 0 {
				t.Errorf("%s: there are %d, want none", token, len(found))
			}
			continue
		}
		if len(found) != 1 {
			t.Errorf("%s: there are %d, want 1", token, len(found))
			continue
		}
		for path, value := range properties {
			if got := at(t, found[0], path); !reflect.DeepEqual(got, value) {
				t.Errorf("%s: %s is %#v, want %#v", token, path, got, value)
			}
		}
	}
}

// at is the plain value at a property path, or nil where there is none.
func at(t *testing.T, properties resource.PropertyMap, path string) any {
	t.Helper()
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		t.Fatalf("property path %q: %v", path, err)
	}
	value, ok := parsed.Get(resource.NewProperty(properties))
	if !ok {
		return nil
	}
	return value.Mappable()
}
