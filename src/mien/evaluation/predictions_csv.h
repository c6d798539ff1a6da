#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "mien/evaluation/predictions.h"

namespace mien::evaluation {

/// `text` as one csv field: quoted where it holds a comma, a quote or a line break (RFC 4180).
std::string csv_field(std::string_view text);

/// Text of predictions_val.csv, header included:
/// `row,label,predicted,correct,p_angry,...,logit_angry,...`, with `file` after row where faces are files; label and
/// predicted are class names, correct is 1 or 0; label and correct are empty where the label is unknown. Numbers read
/// back to the same bits.
std::string predictions_csv(const Predictions& predictions);

/// Reads what predictions_csv wrote. Throws Error(bad_data) as "file:line: ..." for a header or line that is not of
/// that form, values out of range, probabilities that do not sum to 1 within 1e-6, a `predicted` or `correct` that
/// contradicts them, and more than 1,000 classes. `file` is the name used in messages.
Predictions parse_predictions_csv(std::string_view text, const std::string& file);

/// The same for a file of at most 1 GiB. Throws Error(bad_data) if it is missing or larger.
Predictions read_predictions_csv(const std::filesystem::path& path);

/// Columns of a submission beside id and label.
struct SubmissionColumns {
  bool names = false;          ///< `class`: the predicted class's name
  bool probabilities = false;  ///< `p_NAME` for each class
};

/// "id,label" and one line a prediction: its id and its predicted class as a number. The id is the face's file where
/// faces are files, else its place in `ids`: as many as predictions, or none, which stands for 0, 1, 2, ... Throws
/// Error(usage) for any other number of ids.
std::string submission_csv(const Predictions& predictions,
                           std::span<const int64_t> ids = {},
                           const SubmissionColumns& columns = {});

}  // namespace mien::evaluation
