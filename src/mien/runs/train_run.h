#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/data/dataset.h"
#include "mien/data/leak_check.h"
#include "mien/data/split.h"
#include "mien/ranks/group.h"
#include "mien/runs/experiment.h"
#include "mien/runs/run_folder.h"
#include "mien/runs/run_summary.h"
#include "mien/runs/shard.h"

namespace mien::runs {

/// Data with its split and what the leak check said; shared by the runs of a recipe and the members of an ensemble.
/// What a run with PreparedData::tracks_labels leaves in its folder.
inline constexpr const char* kLabelDynamicsFile = "label_dynamics.safetensors";

struct PreparedData {
  data::Split split;
  std::string leaks;                     ///< one line, empty if clean
  std::string test_name = "PublicTest";  ///< what the split's test rows are called; "held-out" in ensembles without any
  bool tracks_labels = false;            ///< write label_dynamics.safetensors (training/label_dynamics.h)
};

/// What of the work this process does.
struct Together {
  ranks::Group* group = nullptr;  ///< the processes that train one network together, if there are several
  bool sync_batch_norm = false;
  std::optional<Shard> shard;  ///< of an ensemble's members, if not all of them
};

/// Splits and checks for leaks (a warning where there are any; with --drop-leaks the leaking training rows are left
/// out). `copies`: what data::find_copies says of `dataset`, for callers that split it several times.
PreparedData prepare(const data::Dataset& dataset,
                     const Experiment& experiment,
                     const data::ImageCopies& copies,
                     ProgressListener& listener);
PreparedData prepare(const data::Dataset& dataset, const Experiment& experiment, ProgressListener& listener);

/// Throws Error for what can be told before a folder is made and anything is trained: an unknown network, weights of
/// another network or other classes, data that the network does not take, a file to predict that cannot be read,
/// galleries of classes that are none.
void check_request(const Experiment& experiment, const data::Dataset& dataset);

/// What decides a run besides its options: the contents of the files that they name. `dataset` is what experiment.data
/// names.
RunContent run_content(const Experiment& experiment, const data::Dataset& dataset);

/// The faces of --test-data, read as the faces that are trained on (bad rows, size of pictures), without their labels'
/// corrections and fractions.
data::Dataset load_test_faces(const Experiment& experiment, ProgressListener& listener);

/// Trains one network in `folder` and judges it: weights, results.csv, results.png, predictions, metrics, pictures,
/// report.html. Goes on where an earlier start stopped. Nothing if the user stopped it (run.json says "interrupted").
std::optional<RunSummary> train_in(RunFolder& folder,
                                   const Experiment& experiment,
                                   const data::Dataset& dataset,
                                   const PreparedData& prepared,
                                   ProgressListener& listener,
                                   const Together& together = {});

/// `mien train`: loads the data, chooses the folder and trains one network or, with --members, an ensemble.
/// Returns the folder; nothing if the user stopped it. Where `together` has a group, one of several processes that
/// train one network: the first one writes and speaks, the others compute; they return an empty path.
std::optional<std::filesystem::path> train_task(const Experiment& experiment,
                                                const OptionSet& options,
                                                ProgressListener& listener,
                                                const Together& together = {});

}  // namespace mien::runs
