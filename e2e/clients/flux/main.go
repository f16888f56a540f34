// The program brings what is declared into a cluster as Flux's kustomize-controller does, with Flux's own library. Each line
// on its input is one JSON object, {"objects": [...], "force": false}: all that is declared now, and whether what cannot be
// changed is made anew. It looks what would change, applies, deletes what was declared the last time and no more, waits until
// all is ready or gone, and prints one line of JSON: what it found and did by object, and what went wrong. It ends with its
// input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

const patience = time.Minute

type declared struct {
	Objects []*unstructured.Unstructured `json:"objects"`
	Force   bool                         `json:"force"`
}

// Actions by Kind/name.
type actions map[string]string

type done struct {
	Diff    actions `json:"diff,omitempty"`
	Applied actions `json:"applied,omitempty"`
	Pruned  actions `json:"pruned,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// A controller remembers what it applied.
type controller struct {
	manager   *ssa.ResourceManager
	namespace string
	inventory object.ObjMetadataSet
	kinds     map[object.ObjMetadata]*unstructured.Unstructured
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file that names the server")
	namespace := flag.String("namespace", "", "namespace of what has none")
	flag.Parse()
	crlog.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	controller := &controller{manager: manage(config), namespace: *namespace}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var wanted declared
		check(json.Unmarshal(lines.Bytes(), &wanted))
		line, err := json.Marshal(controller.reconcile(context.Background(), wanted))
		check(err)
		fmt.Println(string(line))
	}
}

func manage(config *rest.Config) *ssa.ResourceManager {
	http, err := rest.HTTPClientFor(config)
	check(err)
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	check(err)
	client, err := client.New(config, client.Options{Mapper: mapper, HTTPClient: http})
	check(err)
	poller := polling.NewStatusPoller(client, mapper, polling.Options{})
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	return ssa.NewResourceManager(client, poller, owner)
}

func (c *controller) reconcile(ctx context.Context, wanted declared) (told done) {
	c.manager.SetOwnerLabels(wanted.Objects, "packages", c.namespace)
	if err := c.bring(ctx, wanted, &told); err != nil {
		told.Error = strings.TrimSpace(err.Error())
	}
	return told
}

func (c *controller) bring(ctx context.Context, wanted declared, told *done) error {
	if err := c.compare(ctx, wanted, told); err != nil {
		return err
	}
	options := ssa.DefaultApplyOptions()
	options.Force = wanted.Force
	options.WaitInterval = time.Second
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{"kubectl.kubernetes.io/last-applied-configuration"},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	// What is applied is written over with the answer.
	changes, err := c.manager.ApplyAllStaged(ctx, copies(wanted.Objects), options)
	if err != nil {
		return err
	}
	told.Applied = named(changes.Entries)
	stale := c.inventory.Diff(changes.ToObjMetadataSet())
	if err := c.prune(ctx, stale, told); err != nil {
		return err
	}
	c.remember(wanted.Objects)
	waiting := ssa.WaitOptions{Interval: time.Second / 5, Timeout: patience, FailFast: true}
	return c.manager.Wait(wanted.Objects, waiting)
}

func (c *controller) compare(ctx context.Context, wanted declared, told *done) error {
	var entries []ssa.ChangeSetEntry
	options := ssa.DefaultDiffOptions()
	options.Force = wanted.Force
	for _, object := range copies(wanted.Objects) {
		entry, _, _, err := c.manager.Diff(ctx, object, options)
		if err != nil {
			return err
		}
		entries = append(entries, *entry)
	}
	told.Diff = named(entries)
	return nil
}

func (c *controller) prune(ctx context.Context, stale object.ObjMetadataSet, told *done) error {
	var objects []*unstructured.Unstructured
	for _, id := range stale {
		objects = append(objects, c.kinds[id])
	}
	options := ssa.DefaultDeleteOptions()
	options.Inclusions = c.manager.GetOwnerLabels("packages", c.namespace)
	changes, err := c.manager.DeleteAll(ctx, objects, options)
	told.Pruned = named(changes.Entries)
	if err != nil {
		return err
	}
	return c.manager.WaitForSetTermination(changes, ssa.WaitOptions{Interval: time.Second / 5, Timeout: patience})
}

func (c *controller) remember(objects []*unstructured.Unstructured) {
	c.inventory = object.UnstructuredSetToObjMetadataSet(objects)
	c.kinds = map[object.ObjMetadata]*unstructured.Unstructured{}
	for _, it := range objects {
		c.kinds[object.UnstructuredToObjMetadata(it)] = it
	}
}

func copies(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, object := range objects {
		all = append(all, object.DeepCopy())
	}
	return all
}

func named(entries []ssa.ChangeSetEntry) actions {
	all := actions{}
	for _, entry := range entries {
		all[entry.ObjMetadata.GroupKind.Kind+"/"+entry.ObjMetadata.Name] = string(entry.Action)
	}
	return all
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
