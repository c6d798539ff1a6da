#include "fuzz/fuzzing.h"

#include "mien/core/toml.h"
#include "mien/data/augmentation.h"
#include "mien/training/train_options.h"

/// What recipes, --config and args.toml hold: options by name, in tables.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return mien::fuzz::tried([&] {
    mien::training::TrainOptions train;
    mien::data::AugmentOptions augment;
    mien::OptionSet options;
    train.bind(options);
    augment.bind(options);
    mien::set_from_toml(options, mien::fuzz::text_of(data, size), "fuzz.toml", mien::Origin::config_file);
    // What was read says itself again.
    mien::training::TrainOptions train_again;
    mien::data::AugmentOptions augment_again;
    mien::OptionSet again;
    train_again.bind(again);
    augment_again.bind(again);
    mien::set_from_toml(again, options.to_toml(), "again.toml", mien::Origin::config_file);
  });
}
