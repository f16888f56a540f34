package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// How those wait who meet a conflict. One with a cap would give up when it is reached.
var backoff = wait.Backoff{Steps: 100, Duration: 10 * time.Millisecond, Factor: 1.1, Jitter: 0.5}

// Many read, change and write the same package revision, and its files, and try again when somebody was faster. What they
// have written is printed: the numbers of changes that were not lost.
func contend(ctx context.Context, config *rest.Config, namespace, name string) {
	client, err := dynamic.NewForConfig(config)
	check(err)
	count := []string{"metadata", "annotations", "count"}
	lines := []string{"spec", "resources", "count.txt"}
	var all sync.WaitGroup
	change := func(plural string, workers, rounds int, edit func(*unstructured.Unstructured) error) {
		objects := client.Resource(version.WithResource(plural)).Namespace(namespace)
		for range workers {
			all.Go(func() {
				for range rounds {
					check(retry.RetryOnConflict(backoff, func() error {
						object, err := objects.Get(ctx, name, metav1.GetOptions{})
						if err != nil {
							return err
						}
						if err := edit(object); err != nil {
							return err
						}
						_, err = objects.Update(ctx, object, metav1.UpdateOptions{FieldManager: "counter"})
						return err
					}))
				}
			})
		}
	}
	change("packagerevisions", 6, 8, func(object *unstructured.Unstructured) error {
		text, _, _ := unstructured.NestedString(object.Object, count...)
		number, _ := strconv.Atoi(text)
		return unstructured.SetNestedField(object.Object, strconv.Itoa(number+1), count...)
	})
	change("packagerevisionresources", 3, 3, func(object *unstructured.Unstructured) error {
		text, _, _ := unstructured.NestedString(object.Object, lines...)
		return unstructured.SetNestedField(object.Object, text+"line\n", lines...)
	})
	all.Wait()
	get := func(plural string, path []string) string {
		objects := client.Resource(version.WithResource(plural)).Namespace(namespace)
		object, err := objects.Get(ctx, name, metav1.GetOptions{})
		check(err)
		text, _, _ := unstructured.NestedString(object.Object, path...)
		return text
	}
	written := get("packagerevisionresources", lines)
	fmt.Printf("{\"count\":%q,\"lines\":%d}\n", get("packagerevisions", count), strings.Count(written, "line\n"))
}

// A question is a request, asked once or as often as client-go thinks right.
type question struct {
	Method, Path, Type, Body string
	Patient                  bool
}

// Each line on the input is a question; each line on the output says what client-go makes of the answer.
func understand(ctx context.Context, config *rest.Config) {
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	check(err)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var asked question
		check(json.Unmarshal(lines.Bytes(), &asked))
		request := client.Verb(asked.Method).RequestURI(asked.Path).SetHeader("Content-Type", asked.Type)
		if asked.Body != "" {
			request.Body([]byte(asked.Body))
		}
		if !asked.Patient {
			request.MaxRetries(0)
		}
		err := request.Do(ctx).Error()
		delay, _ := apierrors.SuggestsClientDelay(err)
		line, problem := json.Marshal(map[string]any{
			"reason":      apierrors.ReasonForError(err),
			"ok":          err == nil,
			"conflict":    apierrors.IsConflict(err),
			"exists":      apierrors.IsAlreadyExists(err),
			"tooMany":     apierrors.IsTooManyRequests(err),
			"unavailable": apierrors.IsServiceUnavailable(err),
			"timeout":     apierrors.IsTimeout(err),
			"tooNew":      apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge),
			"expired":     apierrors.IsResourceExpired(err),
			"delay":       delay,
		})
		check(problem)
		fmt.Println(string(line))
	}
}
