#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "mien/core/progress.h"
#include "mien/evaluation/intervals.h"
#include "mien/explain/faithfulness/faithfulness.h"

namespace mien::explain {

struct MeasuredMean {
  double mean = 0;                ///< over the faces for which the measure is defined; NaN for none
  evaluation::Interval interval;  ///< 95 %, bootstrap over faces; NaN for none
  int64_t count = 0;
};

/// One method's line of the table.
struct MethodRow {
  std::string method;
  Family family = Family::gradient;
  std::string layer;                          ///< "max_pool4 (128*3*3)" of class activation methods, else empty
  std::map<std::string, MeasuredMean> means;  ///< by measure; measures that no face has are missing
  Faithfulness faces;                         ///< face by face
  std::map<std::string, int64_t> problems;    ///< how many maps "are zero everywhere", ...
  double seconds_per_face = 0;                ///< of the explanation alone
};

struct MethodEvaluation {
  std::vector<MethodRow> rows;  ///< best first by mass accuracy, where there is evidence, else by insertion AUC
  std::vector<std::pair<std::string, std::string>> skipped;  ///< methods and why they are not defined for the network
  int64_t faces = 0;
  double chance = 0;  ///< mean share of evidence pixels; NaN without evidence
};

/// Explains `request` by every method of `methods` and measures the maps. Methods that the network does not allow are
/// listed, not run. `evidence` [N,H,W] may be undefined. Stops with Error(interrupted) between methods if asked to.
MethodEvaluation evaluate_methods(std::span<const MethodSpec> methods,
                                  const AttributionRequest& request,
                                  const at::Tensor& evidence,
                                  const MethodOptions& options,
                                  const FaithfulnessOptions& how,
                                  ProgressListener& listener);

/// A table for people, one line a method, with what its columns mean below it. Ends with a line break.
std::string evaluation_text(const MethodEvaluation& evaluation);
/// method,family,layer,faces,problems,seconds_per_face, then for every measure its mean, low and high.
std::string evaluation_csv(const MethodEvaluation& evaluation);
/// The same as JSON, with mean curves and the randomization's layers; null for what is undefined.
std::string evaluation_json(const MethodEvaluation& evaluation);

}  // namespace mien::explain
