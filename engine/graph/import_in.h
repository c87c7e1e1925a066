/* import_in.h - what the files of the importer share */
#ifndef LT_GRAPH_IMPORT_IN_H
#define LT_GRAPH_IMPORT_IN_H

#include "engine/graph/build.h"

#define LT_LAYERS_MAX 10000         /* after unrolling `repeat` */
#define LT_ELEMENTS_MAX (1ll << 40) /* of one tensor, at the bounds of its symbols */
#define LT_TEXTS 4
#define LT_NAME_TEXT 200 /* bytes of a name; states of it have longer ones */

/* Something the model computes that losses and metrics can name. */
struct lt_result {
    const char *name;
    lt_id value;
};

struct lt_import {
    const Lt__V1__TrainingPlan *plan;
    const struct lt_field *fields;
    int n_fields;
    enum lt_program_kind kind;
    int sym_batch;
    int64_t batch; /* bound */
    struct lt_graph *g;
    struct lt_problems *problems;
    struct lt_layer_rows *rows; /* may be NULL */
    struct lt_result *results;  /* [0]: the model's output */
    int n_results, cap_results;
    bool model_known; /* the model was built: results can be asked for */
    int n_layers;
    char text[LT_TEXTS][LT_TYPE_TEXT];
    int next_text;
};

void lt_import_result(struct lt_import *im, const char *name, lt_id v);
void lt_import_row(struct lt_import *im, const char *name, const char *kind, const char *path,
                   lt_id out, int64_t parameters);
/* Input i of the model: the field that model.inputs, the name or the position say. LT_NONE:
 * reported. */
lt_id lt_import_model_input(struct lt_import *im, size_t i, const char *name);
void lt_import_layers(struct lt_import *im);
void lt_import_graph(struct lt_import *im);
bool lt_import_trained(const struct lt_import *im, const char *param);
bool lt_import_fits(struct lt_build *b, const struct lt_type *t);
/* May a field or parameter have this name? What the programs call their own values is taken. NULL, or why not. */
const char *lt_import_name_taken(const char *name);
/* Shell wildcards: * ? [a-z] [!a-z]. */
bool lt_glob(const char *pattern, const char *s);

#endif
