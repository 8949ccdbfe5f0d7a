/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * edgeai.h - the public C interface of libedgeai, and the manual of the runtime.
 *
 * Conventions
 *   Status     A function that can fail returns EA_OK (0) or a negative ea_status. On failure its
 *              outputs are untouched and ea_error() holds one sentence: what was expected, what
 *              came, how to fix it. Nothing here prints, exits or aborts.
 *   Ownership  *_new, and every `ea_tensor **out`, hand the caller one reference, given back with
 *              ea_tensor_release(). All other tensor arguments are borrowed.
 *   Indices    Dimensions, indices and class labels count from 0 in C and in files. Ops that take
 *              or produce indices have an attribute `base` (0 by default); Lua passes 1.
 *   Layout     Images and activations are NHWC: {batch, height, width, channels}. Convolution
 *              weights are OIHW, as in PyTorch state dicts.
 *   Threads    One thread drives the library; it splits the work over ea_threads() by shape only,
 *              so results do not depend on the number of threads.
 *
 * LuaJIT reads this file too (preprocessed with EA_FFI): plain declarations only.
 */
#ifndef EDGEAI_H
#define EDGEAI_H

#ifndef EA_FFI
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define EA_API __attribute__((visibility("default")))
#define EA_VERSION "0.1.0"
#else
#define EA_API
#endif

/* ---- status ---------------------------------------------------------------------------------- */

enum ea_status {
  EA_OK = 0,
  EA_ERR_ARG = -1,         /* an argument is missing or out of range */
  EA_ERR_SHAPE = -2,       /* shapes do not fit */
  EA_ERR_DTYPE = -3,       /* element types do not fit */
  EA_ERR_MEMORY = -4,      /* no memory */
  EA_ERR_IO = -5,          /* the operating system refused (errno is in the sentence) */
  EA_ERR_FORMAT = -6,      /* a file is not what it should be */
  EA_ERR_INTERRUPTED = -7, /* Ctrl-C, or a deadline */
  EA_ERR_UNSUPPORTED = -8, /* this build or this CPU cannot do it */
  EA_ERR_NUMERIC = -9      /* a factorisation failed, NaN where none may be */
};

enum { EA_MAX_DIM = 8, EA_MAX_IN = 16, EA_MAX_OUT = 4, EA_MAX_ATTR = 24, EA_ABI = 1 };

EA_API const char *ea_error(void);   /* the sentence of this thread's last failure */
EA_API const char *ea_version(void); /* EA_VERSION of the library */
EA_API int ea_abi(void);             /* EA_ABI of the library, to hold against the header's */

/* ---- the process ----------------------------------------------------------------------------- */

EA_API int ea_threads(void);      /* how many threads work is split over */
EA_API int ea_set_threads(int n); /* 1..64; default 1. Idle threads sleep. */
EA_API int ea_cpu_has_bf16(void); /* 1 where bf16 convolutions run in hardware */
/* The vector instructions that the core was compiled for, as /proc/cpuinfo calls them:
 * "avx512_bf16", "avx512f", "avx2", "sse2", "asimd"; "" for none of these. */
EA_API const char *ea_cpu_built_for(void);
EA_API const char *ea_blas_core(void); /* the kernel set OpenBLAS chose, e.g. "Cooperlake" */
/* "oneDNN 2.6.3, Winograd, direct sums, AMX tiles", or less of it, down to "portable". */
EA_API const char *ea_conv_engine(void);
/* Testing: which code convolutions take: 0 the fastest that CPU and build have; 1 the portable; 2
 * oneDNN without the kernels of our own. Returns the setting before. In the environment,
 * EDGEAI_CONV=portable starts with 1, EDGEAI_CONV=onednn with 2. */
EA_API int ea_conv_set_engine(int engine);

/* Bytes and number of live allocations, the most bytes there ever were since the last reset, and
 * how many allocations were ever made. */
EA_API int64_t ea_memory_live(void);
EA_API int64_t ea_memory_blocks(void);
EA_API int64_t ea_memory_peak(void);
EA_API int64_t ea_memory_count(void);
EA_API void ea_memory_reset_peak(void);
/* Testing: the n-th allocation from now fails (1 = the next); 0 switches it off. */
EA_API void ea_memory_fail_at(int64_t n);

/* Interrupts. A first SIGINT/SIGTERM (after ea_signal_install) sets the pending signal number; a
 * second SIGINT ends the process with 130. Unless deferred, long work stops between two ops with
 * EA_ERR_INTERRUPTED. A training loop defers, polls, finishes its step and saves.
 * SIGXFSZ is ignored: a file too large for `ulimit -f` is a failed write. */
EA_API int ea_signal_install(void);
EA_API int ea_interrupt_pending(void); /* 0, or the signal's number */
EA_API void ea_interrupt_clear(void);
EA_API void ea_interrupt_raise(int signum); /* as if that signal had come */
EA_API void ea_interrupt_defer(int on);
EA_API double ea_clock(void); /* monotonic seconds */
EA_API int ea_isatty(int fd);
EA_API int ea_terminal_width(void); /* columns of the terminal on stderr, 80 where none */

/* ---- tensors --------------------------------------------------------------------------------- */

enum ea_dtype { EA_F32 = 0, EA_F64 = 1, EA_BF16 = 2, EA_I32 = 3, EA_U8 = 4, EA_I8 = 5 };

typedef struct ea_tensor ea_tensor;

EA_API const char *ea_dtype_name(int dtype); /* "f32" "f64" "bf16" "i32" "u8" "i8"; NULL if none */
EA_API int ea_dtype_size(int dtype);         /* bytes of one element; 0 if there is no such type */

/* A tensor of ndim (0..8) sizes, contiguous, uninitialised. A size may be 0. */
EA_API int ea_tensor_new(int dtype, int ndim, const int64_t *size, ea_tensor **out);
EA_API ea_tensor *ea_tensor_retain(ea_tensor *t);
EA_API void ea_tensor_release(ea_tensor *t); /* NULL is allowed */
EA_API int ea_tensor_dtype(const ea_tensor *t);
EA_API int ea_tensor_ndim(const ea_tensor *t);
EA_API int64_t ea_tensor_size(const ea_tensor *t, int dim);
EA_API int64_t ea_tensor_stride(const ea_tensor *t, int dim); /* in elements */
EA_API int64_t ea_tensor_count(const ea_tensor *t);           /* elements */
EA_API int64_t ea_tensor_bytes(const ea_tensor *t);           /* count * element size */
EA_API int ea_tensor_contiguous(const ea_tensor *t);
EA_API int ea_tensor_symbolic(const ea_tensor *t); /* 1 while being captured: it has no data yet */
/* First element; NULL for a symbolic tensor. Valid while the tensor lives. */
EA_API void *ea_tensor_data(const ea_tensor *t);
EA_API int ea_tensor_get(const ea_tensor *t, const int64_t *index, double *out);
EA_API int ea_tensor_set(ea_tensor *t, const int64_t *index, double value);
/* Views share the storage. narrow keeps [start, start+length) of dim with a step >= 1;
 * select drops dim; reshape needs a contiguous tensor and the same count. */
EA_API int ea_tensor_narrow(ea_tensor *t, int dim, int64_t start, int64_t length, int64_t step,
                            ea_tensor **out);
EA_API int ea_tensor_select(ea_tensor *t, int dim, int64_t index, ea_tensor **out);
EA_API int ea_tensor_reshape(ea_tensor *t, int ndim, const int64_t *size, ea_tensor **out);
EA_API int ea_tensor_permute(ea_tensor *t, const int *dims, ea_tensor **out);
EA_API int ea_tensor_expand(ea_tensor *t, int ndim, const int64_t *size, ea_tensor **out);
/* Copies src into dst of the same shape, converting the element type: to integers by rounding half
 * to even and clamping to the range (NaN becomes 0), to bf16 by rounding half to even. */
EA_API int ea_tensor_copy(ea_tensor *dst, const ea_tensor *src);
EA_API int ea_tensor_fill(ea_tensor *t, double value);
EA_API int ea_tensor_clone(const ea_tensor *t, int dtype, ea_tensor **out); /* contiguous copy */
/* Makes t (contiguous) view `storage_of`'s memory from element `offset` on, keeping its values.
 * For gathering parameters into one flat buffer. Same element type. */
EA_API int ea_tensor_rebase(ea_tensor *t, ea_tensor *storage_of, int64_t offset);
/* Hash of shape, type and bytes (FNV-1a, 64 bits), for comparing runs. */
EA_API uint64_t ea_tensor_hash(const ea_tensor *t);
/* Number of elements that are NaN or infinite. */
EA_API int ea_tensor_count_nonfinite(const ea_tensor *t, int64_t *out);

/* Random numbers: Philox4x32-10, a counter-based generator (Salmon et al. 2011). Element i of a
 * tensor depends on (seed, stream, index, i) alone. ea_stream_id hashes a purpose's name. */
EA_API uint64_t ea_stream_id(const char *name);
EA_API int ea_random_uniform(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index,
                             double low, double high);
EA_API int ea_random_normal(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index,
                            double mean, double std);
/* t: i32, 1-d; a permutation of base..base+n-1. */
EA_API int ea_random_permutation(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index,
                                 int base);

/* Linear algebra without gradient (LAPACK), f32 or f64, contiguous.
 * svd: a {m,n} -> u {m,k}, s {k} descending, vt {k,n}, k = min(m,n).
 * eigh: symmetric a {n,n} -> w {n} ascending, v {n,n} whose columns are the eigenvectors. */
EA_API int ea_svd(const ea_tensor *a, ea_tensor **u, ea_tensor **s, ea_tensor **vt);
EA_API int ea_eigh(const ea_tensor *a, ea_tensor **w, ea_tensor **v);

/* ---- ops and gradients ------------------------------------------------------------------------
 * The op table is core/ops/ops.def; each op's file in core/ops carries its formula, shapes and
 * attributes. Attributes are numbers, in the order of the op's schema; missing ones take defaults.
 */
EA_API int ea_op_count(void);
EA_API const char *ea_op_name(int op);      /* NULL: none, or one from outside that has gone */
EA_API int ea_op_find(const char *name);    /* -1 if there is none */
EA_API int ea_op_inputs(int op, int *most); /* returns the fewest inputs, *most the most */
EA_API int ea_op_outputs(int op);           /* that the caller sees */
/* Schema, e.g. "stride:i=1 pad:i=0": name:kind=default, separated by blanks. Kinds: i integer,
 * f real, b boolean, x axis (1-based and negative-from-the-end in Lua), o index origin (Lua always
 * passes 1), t element type, L a list of integers and X a list of axes (both last). No default:
 * must be given. */
EA_API const char *ea_op_attrs(int op);

/* Ops from outside. Loads a shared library written against edgeai_op.h, checks that it was built
 * for this ABI, and adds its ops to the table as numbers *first .. *first + *count - 1. source:
 * NULL, or what it must have been built from (EA_PLUGIN_SOURCE there). The library is never
 * unloaded: of a file that has been loaded before, the first version stays. */
EA_API int ea_plugin_load(const char *path, const char *source, int *first, int *count);
/* Takes an op from outside out of the table. Graphs and gradients that hold it work on. */
EA_API int ea_op_remove(int op);

/* Applies an op. Eager: runs it now and, if a gradient may be asked for, remembers it. While a
 * graph is being captured: makes symbolic outputs. out receives ea_op_outputs(op) references. */
EA_API int ea_apply(int op, int nin, ea_tensor *const *in, int nattr, const double *attr,
                    ea_tensor **out);
/* Ops with random numbers (dropout) draw them by step as well: in a captured graph the one given to
 * ea_graph_forward, eagerly this one. 0 at the start. */
EA_API uint64_t ea_step(void);
EA_API void ea_set_step(uint64_t step);
EA_API int ea_grad_enabled(void);
EA_API int ea_set_grad_enabled(int on); /* returns the previous setting */
EA_API int ea_tensor_requires_grad(const ea_tensor *t);
EA_API int ea_tensor_set_requires_grad(ea_tensor *t, int on); /* leaves of f32/f64/bf16 only */
EA_API int ea_tensor_is_leaf(const ea_tensor *t);
EA_API ea_tensor *ea_tensor_grad(const ea_tensor *t);         /* borrowed; NULL if there is none */
EA_API int ea_tensor_set_grad(ea_tensor *t, ea_tensor *grad); /* same shape, or NULL; retained */
EA_API int ea_tensor_detach(ea_tensor *t, ea_tensor **out);   /* shares storage, no history */

/* Backward from `root` (a scalar, or with `grad` of its shape), adding into the .grad of every leaf
 * that requires one. What a gradient reads must not have been changed in place since (EA_ERR_ARG).
 * The tape below root is freed. Runs to the end unless it meets a node whose gradient is written
 * outside (ea_custom): then it returns the positive id of that node; fetch its output gradients,
 * give its input gradients, and call ea_backward_resume. The run frees itself at its end and on
 * errors: *run is set on a positive return only. */
typedef struct ea_backward_run ea_backward_run;
EA_API int ea_backward(ea_tensor *root, ea_tensor *grad, ea_backward_run **run);
EA_API int ea_backward_resume(ea_backward_run *run);
EA_API void ea_backward_free(ea_backward_run *run); /* to give up while it waits */
/* NULL if nothing flowed into that output; borrowed. */
EA_API ea_tensor *ea_backward_output_grad(ea_backward_run *run, int output);
EA_API int ea_backward_give(ea_backward_run *run, int input, ea_tensor *grad);

/* A node computed outside: outputs were made by the caller (eager), who keeps what backward needs
 * under the same id (> 0). While capturing, outputs are symbolic: made by ea_custom from the shapes
 * of the given prototypes. */
EA_API int ea_custom(int id, int nin, ea_tensor *const *in, int nout, ea_tensor *const *prototype,
                     ea_tensor **out);

/* An id whose node is gone (what was kept for it can go too), each once; 0 if there is none. */
EA_API int ea_custom_forgotten(void);

/* ---- captured graphs --------------------------------------------------------------------------
 * begin; inputs; apply ops; end: memory is planned, batch_norm+relu fused; from then on runs make
 * no allocation. Leaves met on the way (parameters, running statistics) are used in place, wherever
 * they and their .grad are at the start of a run; which of them have a gradient is settled here. */
typedef struct ea_graph ea_graph;
EA_API int ea_graph_begin(ea_graph **out);
EA_API int ea_graph_input(ea_graph *g, int dtype, int ndim, const int64_t *size, ea_tensor **out);
/* outputs keep their values until the next run. loss: NULL, or a scalar among the outputs. Gives up
 * and frees nothing on error: call ea_graph_free. */
EA_API int ea_graph_end(ea_graph *g, int nout, ea_tensor *const *out, ea_tensor *loss);
EA_API void ea_graph_abort(ea_graph *g); /* ends a capture whose function failed; frees g */
EA_API int ea_graph_capturing(void);     /* 1 between begin and end */
EA_API void ea_graph_free(ea_graph *g);
/* Run. A positive return is the id of a custom node at which the run waits: do its work (see
 * ea_graph_custom_*), then call again. `step` keys dropout's random numbers. */
EA_API int ea_graph_forward(ea_graph *g, uint64_t step);
/* accumulate 0: leaf gradients are overwritten; 1: added to. */
EA_API int ea_graph_backward(ea_graph *g, int accumulate);
/* Of the node the run waits at. what: 0 input, 1 output, 2 output gradient (NULL possible), 3 input
 * gradient to fill (NULL if not wanted). */
EA_API int ea_graph_custom_tensor(ea_graph *g, int what, int i, ea_tensor **borrowed);
EA_API void ea_graph_cancel(ea_graph *g);         /* gives up a run that waits; run forward again */
EA_API int64_t ea_graph_bytes(const ea_graph *g); /* planned: activations and gradients */
EA_API int64_t ea_graph_peak(const ea_graph *g);  /* all: with leaves, their gradients, scratch */
/* Of convolutions and products, 2 per multiply-add; backward: of the gradients that are wanted. */
EA_API double ea_graph_flops(const ea_graph *g, int backward);
EA_API int ea_graph_nodes(const ea_graph *g);
EA_API const char *ea_graph_node_op(const ea_graph *g, int node);
/* Of the node's first output, borrowed. */
EA_API ea_tensor *ea_graph_node_output(const ea_graph *g, int node);
EA_API double ea_graph_node_flops(const ea_graph *g, int node, int backward);
/* The least that the node must move: what it reads and what it writes, once each. */
EA_API double ea_graph_node_bytes(const ea_graph *g, int node, int backward);
/* Seconds spent so far in the node, forward (0) or backward (1), since profiling began. */
EA_API int ea_graph_profile(ea_graph *g, int on);
EA_API double ea_graph_node_seconds(const ea_graph *g, int node, int backward);
EA_API int ea_graph_node_fused(const ea_graph *g, int node); /* 1: done by the node before it */

/* ---- optimisers: one pass over flat f32 buffers -------------------------------------------------
 * All tensors 1-d, f32, contiguous, of one length n. decay_mask: u8 {n} or NULL: where 0, no weight
 * decay. scale multiplies the gradient first (clipping, loss scaling).
 * sgd (Sutskever 2013, as PyTorch): g += wd*p; m = momentum*m + g; p -= lr*(nesterov ? g +
 *   momentum*m : m). `first` 1: m = g.
 * adam (Kingma & Ba 2015; Loshchilov & Hutter 2019 where decoupled): step counts from 1. */
EA_API int ea_sgd(ea_tensor *p, const ea_tensor *g, ea_tensor *m, const ea_tensor *decay_mask,
                  double lr, double momentum, int nesterov, double wd, double scale, int first);
EA_API int ea_adam(ea_tensor *p, const ea_tensor *g, ea_tensor *m, ea_tensor *v,
                   const ea_tensor *decay_mask, double lr, double beta1, double beta2, double eps,
                   double wd, int decoupled, double scale, int64_t step);
EA_API int ea_ema(ea_tensor *average, const ea_tensor *p, double decay); /* a = d*a + (1-d)*p */
EA_API int ea_norm(const ea_tensor *t, double *out); /* Euclidean norm, summed in f64 */

/* ---- files ------------------------------------------------------------------------------------
 * Writers write a temporary file beside the target, sync it and rename it. Readers treat their
 * input as hostile: sizes are checked against the file before anything is allocated. */
/* Named tensors and string metadata, in order. `i` counts from 0; what is not there is NULL. */
typedef struct ea_archive ea_archive;
EA_API int ea_archive_new(ea_archive **out);
EA_API void ea_archive_free(ea_archive *a);
EA_API int ea_archive_add(ea_archive *a, const char *name, ea_tensor *t); /* retained */
EA_API int ea_archive_set_meta(ea_archive *a, const char *key, const char *value);
EA_API int ea_archive_count(const ea_archive *a);
EA_API const char *ea_archive_name(const ea_archive *a, int i);
EA_API ea_tensor *ea_archive_tensor(const ea_archive *a, int i);   /* borrowed */
EA_API int ea_archive_find(const ea_archive *a, const char *name); /* position; -1: not there */
EA_API const char *ea_archive_meta(const ea_archive *a, const char *key); /* NULL: not there */
EA_API int ea_archive_meta_count(const ea_archive *a);
EA_API const char *ea_archive_meta_key(const ea_archive *a, int i);
EA_API const char *ea_archive_meta_value(const ea_archive *a, int i);
/* safetensors (F32 F64 BF16 I32 U8 I8; F16 is read as f32, I64 as i32 if it fits, BOOL as u8). */
EA_API int ea_safetensors_save(const char *path, const ea_archive *a);
EA_API int ea_safetensors_load(const char *path, ea_archive **out);
/* NumPy .npy and .npz (names without ".npy"); the same conversions; bf16 is saved as f32. */
EA_API int ea_npy_save(const char *path, const ea_tensor *t);
EA_API int ea_npy_load(const char *path, ea_tensor **out);
EA_API int ea_npz_save(const char *path, const ea_archive *a);
EA_API int ea_npz_load(const char *path, ea_archive **out);
/* IDX (MNIST), gzipped or not: u8 only; {n}, {n,h,w} or {n,h,w,c}. */
EA_API int ea_idx_load(const char *path, ea_tensor **out);
/* CIFAR binary: records of label_bytes + 3*32*32. images u8 {n,32,32,3} (NHWC), labels i32 {n}: the
 * last label byte (CIFAR-100: the fine label). */
EA_API int ea_cifar_load(const char *path, int label_bytes, ea_tensor **images, ea_tensor **labels);
/* Atomic replacement of a whole file by bytes. */
EA_API int ea_file_write(const char *path, const void *data, size_t bytes);
/* A whole file of at most `most` bytes, NUL-terminated behind its end; free with ea_buffer_free. */
EA_API int ea_file_read(const char *path, size_t most, char **data, size_t *bytes);
EA_API void ea_buffer_free(void *data);
EA_API int ea_file_exists(const char *path); /* 0 no, 1 a file, 2 a folder */
EA_API int ea_make_folder(const char *path); /* with its parents; no error if it is there */
/* Names in a folder, sorted bytewise, joined by '\n', folders with a trailing '/'. */
EA_API int ea_list_folder(const char *path, char **names);
/* The absolute path, without links, of what is there; free with ea_buffer_free. */
EA_API int ea_real_path(const char *path, char **out);
/* Can others change the file or folder (links are followed)? 0: only its owner, this process's user
 * or root. 1: another user owns it (root does not mind). 2: everybody may write to it. */
EA_API int ea_file_foreign(const char *path);

/* ---- models -----------------------------------------------------------------------------------
 * What a network computes, beside its weights in a safetensors file: the metadata `edgeai.graph`,
 * which Lua's net:save writes and which runs here without Lua. A JSON object:
 *   version  1
 *   inputs   [{"dtype": "f32", "size": [1, 28, 28, 1]}]: what it was recorded with
 *   tensors  {"conv1.weight": "f32", ...}: which of the file's tensors it reads, as which type
 *   nodes    [{"op": "conv2d", "in": [0, "conv1.weight"], "attrs": {"stride": 1, "pad": 2}}, ...]
 *   outputs  [12]
 * The inputs and then every node's outputs are counted from 0; `in` names such a number, a tensor,
 * or a constant {"dtype": "f32", "size": [], "values": [0.5]}. Numbers that are not finite are the
 * texts "inf", "-inf" and "nan"; attributes that are missing take their defaults.
 *
 *   ea_archive *file;
 *   ea_model *model;
 *   ea_tensor *scores;
 *   if (ea_safetensors_load("net.safetensors", &file) || ea_model_new(file, &model) ||
 *       ea_model_apply(model, 1, &image, &scores)) fprintf(stderr, "%s\n", ea_error()); */
typedef struct ea_model ea_model;
/* From a file's tensors (retained; converted where they were stored as another type) and metadata.
 * EA_ERR_FORMAT if `edgeai.graph` is missing or is not what it should be. */
EA_API int ea_model_new(const ea_archive *file, ea_model **out);
EA_API void ea_model_free(ea_model *m);
EA_API int ea_model_inputs(const ea_model *m);
EA_API int ea_model_outputs(const ea_model *m);
/* Type and sizes that input i was recorded with; returns ndim. size: room for EA_MAX_DIM. */
EA_API int ea_model_input_shape(const ea_model *m, int i, int *dtype, int64_t *size);
/* Applies its ops to nin = ea_model_inputs(m) tensors: at once, or into the graph that is being
 * captured (then runs allocate nothing). Another batch than the recorded one is fine unless the
 * network wrote its size down. out receives ea_model_outputs(m) references. */
EA_API int ea_model_apply(const ea_model *m, int nin, ea_tensor *const *in, ea_tensor **out);
/* The text for `edgeai.graph` of a graph, from when its ops are applied (before ea_graph_end, too)
 * up to the given outputs. `names` says what its leaves are called; one that is not there becomes a
 * constant if it has at most 1024 elements. EA_ERR_UNSUPPORTED if there is a custom node. */
EA_API int ea_graph_describe(const ea_graph *g, int nout, ea_tensor *const *out,
                             const ea_archive *names, char **json); /* free with ea_buffer_free */

/* JSON from outside (RFC 8259; duplicate keys refused; depth <= 256). type: 0 null, 1 boolean,
 * 2 number, 3 string, 4 array, 5 object. Values are borrowed from the document. */
typedef struct ea_json ea_json;
EA_API int ea_json_parse(const char *text, size_t bytes, ea_json **out);
EA_API void ea_json_free(ea_json *document);
EA_API int ea_json_type(const ea_json *v);
EA_API int64_t ea_json_count(const ea_json *v); /* of an array or object */
EA_API const ea_json *ea_json_item(const ea_json *v, int64_t i);
EA_API const char *ea_json_key(const ea_json *v, int64_t i);
EA_API double ea_json_number(const ea_json *v); /* a boolean gives 0 or 1 */
EA_API const char *ea_json_string(const ea_json *v, size_t *bytes);

/* ---- images ------------------------------------------------------------------------------------
 * u8 {h,w,c}, c = 1, 3 or 4. Readers convert palettes, 16 bit and grey+alpha; `channels` 0 keeps
 * what is there. At most 2^26 pixels. */
EA_API int ea_png_load(const char *path, int channels, ea_tensor **out);
EA_API int ea_png_save(const char *path, const ea_tensor *image);
EA_API int ea_jpeg_load(const char *path, int channels, ea_tensor **out);

/* ---- training data -----------------------------------------------------------------------------
 * Batches in the background: one thread assembles, augments and normalises batch k+1.. while the
 * caller works on batch k. Image i of epoch e is drawn from (seed, e, i) alone. */
typedef struct ea_loader ea_loader;
typedef struct ea_augment {
  int crop_pad;  /* random crop after padding by this many pixels; 0: none */
  int reflect;   /* pad by reflection instead of zeros (0 = the mean colour) */
  int flip;      /* 1: mirror half of the images; 2: alternating flip over epochs */
  int cutout;    /* side of a square set to the mean colour; 0: none */
  int translate; /* shift by up to this many pixels both ways, zeros outside; 0: none */
} ea_augment;
/* images u8 {n,h,w,c}, labels i32 {n} (base 0), index i32 {m} (base 0): which images, or NULL: all.
 * mean, std: c numbers, in units of [0,1]. shuffle: a new order each epoch. drop_last: leave out an
 * incomplete last batch; otherwise it is filled up with its first images again and `*valid` of next
 * says how many count. All tensors are retained. */
EA_API int ea_loader_new(ea_tensor *images, ea_tensor *labels, ea_tensor *index, int batch,
                         const double *mean, const double *std, const ea_augment *augment,
                         int shuffle, int drop_last, uint64_t seed, ea_loader **out);
EA_API void ea_loader_free(ea_loader *l);
EA_API int64_t ea_loader_batches(const ea_loader *l);
/* Starts (or goes to) a batch of an epoch, both from 0. */
EA_API int ea_loader_seek(ea_loader *l, uint64_t epoch, int64_t batch);
/* Next batch into x (f32 or bf16 {batch,h,w,c}), y (i32 {batch}, labels + base) and id (i32
 * {batch}, positions in `images` + base; may be NULL). Returns 1 at the end of the epoch (nothing
 * written). */
EA_API int ea_loader_next(ea_loader *l, ea_tensor *x, ea_tensor *y, ea_tensor *id, int base,
                          int *valid);

/* ---- graphs of filters: communities (igraph) --------------------------------------------------
 * w: symmetric {n,n}, f32 or f64, non-negative, finite; the diagonal (self-loops) is ignored.
 * membership: i32 {n}, 0.., communities numbered by descending size, ties by smallest member.
 * Standard resolution: Q = sum_ij (w_ij - resolution * k_i k_j / 2m) [c_i = c_j] / 2m. */
typedef struct ea_partition {
  ea_tensor *membership; /* one reference, the caller's */
  double modularity;     /* at the given resolution */
  int communities;
  uint64_t seed;    /* the seed that won */
  double agreement; /* mean adjusted Rand index of the other tries with the best; 1 if one */
} ea_partition;
/* Blondel et al. 2008. Best of `tries` seeds (seed, seed+1, ...), `deadline` seconds each. */
EA_API int ea_louvain(const ea_tensor *w, double resolution, uint64_t seed, int tries,
                      double deadline, ea_partition *out);
/* Traag et al. 2019; at most `iterations` rounds each. */
EA_API int ea_leiden(const ea_tensor *w, double resolution, uint64_t seed, int tries,
                     int iterations, double deadline, ea_partition *out);
EA_API int ea_modularity(const ea_tensor *w, const ea_tensor *membership, double resolution,
                         double *out);
/* Normalised mutual information (Danon 2005) and adjusted Rand index (Hubert & Arabie 1985). */
EA_API int ea_nmi(const ea_tensor *a, const ea_tensor *b, double *out);
EA_API int ea_adjusted_rand(const ea_tensor *a, const ea_tensor *b, double *out);
/* Fruchterman-Reingold layout: f64 {n,2}, for drawing. */
EA_API int ea_graph_layout(const ea_tensor *w, uint64_t seed, int iterations, ea_tensor **out);

#ifndef EA_FFI
#ifdef __cplusplus
}
#endif
#endif
#endif
