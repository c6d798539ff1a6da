#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mien/runs/ensemble.h"
#include "mien/runs/run_page.h"
#include "mien/runs/run_summary.h"

namespace mien::runs {

/// Where the pictures of a document go. Each file has one name, however often it is added.
class PictureShelf {
 public:
  virtual ~PictureShelf() = default;
  /// Takes a picture in and returns its name in the document; "" where it is left out. Throws Error(bad_data) if it
  /// cannot be read.
  virtual std::string add(const std::filesystem::path& file) = 0;
  /// JSON object of name and the `src` that a browser loads it by.
  virtual std::string json() const = 0;
};

/// Puts the pictures themselves into the document, as WebP data URIs.
class EmbeddedPictures final : public PictureShelf {
 public:
  /// What does not fit into `budget_bytes` of text is left out.
  explicit EmbeddedPictures(size_t budget_bytes = 7'000'000) : budget_(budget_bytes) {}
  std::string add(const std::filesystem::path& file) override;
  std::string json() const override;
  /// How many were left out.
  int64_t left_out() const { return left_out_; }

 private:
  size_t budget_;
  size_t used_ = 0;
  int64_t left_out_ = 0;
  std::map<std::string, std::string> names_;    ///< by checksum of the file
  std::map<std::string, std::string> sources_;  ///< data URIs by name
};

/// JSON list of a curve's epochs, an object each; null where a value is not finite.
std::string history_json(const std::vector<training::EpochRow>& history);

/// All that the page shows, as JSON: what `web/src/document.ts` describes. Read from the run folders alone; the same
/// folder gives the same bytes.
std::string run_document(const RunSummary& run, PictureShelf& pictures);
std::string ensemble_document(const EnsembleSummary& ensemble, PictureShelf& pictures);
std::string recipe_document(const RecipePage& page,
                            const std::vector<RunSummary>& runs,
                            const std::vector<EnsembleSummary>& ensembles,
                            PictureShelf& pictures);

}  // namespace mien::runs
